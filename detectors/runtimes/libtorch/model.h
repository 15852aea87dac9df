// An AOTInductor package in memory, run by libtorch. No Python here.
#pragma once

#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>

namespace boxqueue {

// Throws std::runtime_error if a package is for another version of libtorch, another device, or a processor with more
// instructions (detectors/runtimes/aotinductor.py does the same for workers), or if it does not take `pictures`.
//
// It runs the package once with its input check. Later runs have no check, and read past the end of a tensor that is too
// small. `pictures` has to be a batch of two: the check refuses a single picture, which runs correctly without it.
void require_runnable(const std::string& file, const at::Tensor& pictures);

// Runs on the CPU. Every error of libtorch is thrown as std::runtime_error, without a backtrace in its message.
class Model {
public:
    // Loads a package, which runs its code. `threads`: number of libtorch's threads in this process.
    Model(const std::string& file, int threads);

    // A batch in the package's layout and type -> its outputs, flattened, in the package's order.
    std::vector<at::Tensor> run(const at::Tensor& pictures);

    // How the outputs are nested: JSON of torch.utils._pytree.treespec_dumps.
    std::string output_spec();

private:
    torch::inductor::AOTIModelPackageLoader loader_;
};

}  // namespace boxqueue
