// A compiled detector in memory: an AOTInductor package, run by libtorch. No Python here.
#pragma once

#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>

namespace boxqueue {

// Throws std::runtime_error where a package is for another libtorch, another kind of device or a processor that has more
// than this one (detectors/runtimes/aotinductor.py says the same to workers), or does not take such pictures, two of them.
//
// Runs it once, checking its input. Later it does not check, and reads past the end of what is too small; but a single
// picture it takes only unchecked.
void require_runnable(const std::string& file, const at::Tensor& pictures);

// Runs on the CPU. Whatever goes wrong in libtorch is thrown as std::runtime_error, its message without a backtrace.
class Model {
public:
    // Loads a package, which is code: it is run. `threads`: of libtorch, in this process.
    Model(const std::string& file, int threads);

    // A batch of pictures, as the package takes it -> its outputs in its own order, however it nests them.
    std::vector<at::Tensor> run(const at::Tensor& pictures);

    // How the package nests its outputs: JSON, as torch.utils._pytree.treespec_dumps writes it.
    std::string output_spec();

private:
    torch::inductor::AOTIModelPackageLoader loader_;
};

}  // namespace boxqueue
