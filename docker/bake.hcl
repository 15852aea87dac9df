# docker buildx bake --file docker/bake.hcl            builds all images for the CPU
# docker buildx bake --file docker/bake.hcl cuda       the three for CUDA; TAG, COMMIT_SHA, … are variables

variable "TAG" { default = "latest" }
variable "REGISTRY" { default = "boxqueue" }
variable "PYTHON_VERSION" { default = "3.11" }
variable "TARGET_API" { default = "saved_model" }
variable "FUNCTION_TARGET_API" { default = "pytorch" }
variable "FUNCTIONS_HOST" { default = "mcr.microsoft.com/azure-functions/base:4" }
variable "TORCHVISION" { default = "0" }
variable "TORCH_INDEX" { default = "https://download.pytorch.org/whl/cpu" }
variable "MODEL" { default = "embedded" }
variable "COMMIT_SHA" { default = "" }
variable "BRANCH_NAME" { default = "" }
variable "BUILD_DATE" { default = "" }

group "default" {
  targets = ["api", "worker-pytorch", "worker-tensorflow", "worker-onnx", "worker-remote", "worker-libtorch", "lambda", "azure"]
}

group "cuda" {
  targets = ["worker-pytorch-cuda", "worker-tensorflow-cuda", "worker-onnx-cuda"]
}

target "image" {
  context = "."
  args = {
    PYTHON_VERSION = PYTHON_VERSION
    MODEL          = MODEL
    COMMIT_SHA     = COMMIT_SHA
    BRANCH_NAME    = BRANCH_NAME
    BUILD_DATE     = BUILD_DATE
  }
}

target "api" {
  inherits   = ["image"]
  dockerfile = "docker/api.Dockerfile"
  tags       = ["${REGISTRY}/api:${TAG}"]
}

target "worker-pytorch" {
  inherits   = ["image"]
  dockerfile = "docker/worker-pytorch.Dockerfile"
  tags       = ["${REGISTRY}/worker-pytorch:${TAG}"]
  args       = { TORCHVISION = TORCHVISION, TORCH_INDEX = TORCH_INDEX }
}

target "worker-tensorflow" {
  inherits   = ["image"]
  dockerfile = "docker/worker-tensorflow.Dockerfile"
  tags       = ["${REGISTRY}/worker-tensorflow:${TAG}"]
  args       = { TARGET_API = TARGET_API }
}

target "worker-onnx" {
  inherits   = ["image"]
  dockerfile = "docker/worker-onnx.Dockerfile"
  tags       = ["${REGISTRY}/worker-onnx:${TAG}"]
}

# These two have no bundled model: your catalogue names the model servers or the compiled packages.
target "worker-remote" {
  inherits   = ["image"]
  dockerfile = "docker/worker-remote.Dockerfile"
  tags       = ["${REGISTRY}/worker-remote:${TAG}"]
  args       = { MODEL = "none" }
}

target "worker-libtorch" {
  inherits   = ["image"]
  dockerfile = "docker/worker-libtorch.Dockerfile"
  tags       = ["${REGISTRY}/worker-libtorch:${TAG}"]
  args       = { MODEL = "none", TORCH_INDEX = TORCH_INDEX }
}

target "lambda" {
  inherits   = ["image"]
  dockerfile = "docker/lambda.Dockerfile"
  tags       = ["${REGISTRY}/lambda:${TAG}"]
  args       = { TARGET_API = FUNCTION_TARGET_API, TORCHVISION = TORCHVISION, TORCH_INDEX = TORCH_INDEX }
}

target "azure" {
  inherits   = ["image"]
  dockerfile = "docker/azure.Dockerfile"
  tags       = ["${REGISTRY}/azure:${TAG}"]
  args = {
    TARGET_API     = FUNCTION_TARGET_API
    TORCHVISION    = TORCHVISION
    TORCH_INDEX    = TORCH_INDEX
    FUNCTIONS_HOST = FUNCTIONS_HOST
  }
}

target "worker-pytorch-cuda" {
  inherits = ["worker-pytorch"]
  tags     = ["${REGISTRY}/worker-pytorch:${TAG}-cuda"]
  args     = { DEVICE = "cuda" }
}

target "worker-tensorflow-cuda" {
  inherits = ["worker-tensorflow"]
  tags     = ["${REGISTRY}/worker-tensorflow:${TAG}-cuda"]
  args     = { DEVICE = "cuda" }
}

target "worker-onnx-cuda" {
  inherits = ["worker-onnx"]
  tags     = ["${REGISTRY}/worker-onnx:${TAG}-cuda"]
  args     = { DEVICE = "cuda" }
}
