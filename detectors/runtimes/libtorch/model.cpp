#include "model.h"

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>
#include <torch/headeronly/version.h>

namespace boxqueue {
namespace {

std::runtime_error trimmed_error(std::string message) {
    message.erase(message.find_last_not_of(" \n") + 1);
    return std::runtime_error(message);
}

template <typename Work>
auto translate_errors(Work work) {
    try {
        return work();
    } catch (const c10::Error& error) {
        throw trimmed_error(error.what_without_backtrace());
    } catch (const std::exception& error) {
        throw trimmed_error(error.what());
    }
}

// The flags of this processor, as Linux names them, each with a blank on both sides; empty if they are not known.
std::string processor_flags() {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("flags")) return line.substr(line.find(':') + 1) + ' ';
    }
    return "";
}

}  // namespace

void require_runnable(const std::string& file, const at::Tensor& pictures) {
    auto metadata = translate_errors([&] {
        return torch::inductor::AOTIModelPackageLoader::load_metadata_from_package(file, "model");
    });
    const std::string& version = metadata["BOXQUEUE_TORCH"];
    if (!version.empty() && version.substr(0, version.find('+')) != TORCH_VERSION) {
        throw std::runtime_error("PyTorch " + version + " compiled it, and this is " TORCH_VERSION);
    }
    if (metadata["AOTI_DEVICE_KEY"] != "cpu") throw std::runtime_error("it was not compiled for the CPU");
    const std::string flags = processor_flags();
    std::istringstream needed(metadata["BOXQUEUE_INSTRUCTIONS"]);
    for (std::string name; needed >> name;) {
        if (flags.find(' ' + name + ' ') == std::string::npos) {
            throw std::runtime_error("it was compiled for a processor with " + name + ", which this one lacks");
        }
    }
    constexpr const char* check = "AOTI_RUNTIME_CHECK_INPUTS";  // a package reads it at its first run only
    Model model(file, 1);
    setenv(check, "1", 1);
    model.run(pictures);
    unsetenv(check);
}

Model::Model(const std::string& file, int threads)
    : loader_(translate_errors([&] { return torch::inductor::AOTIModelPackageLoader(file); })) {
    at::set_num_threads(threads);
}

std::vector<at::Tensor> Model::run(const at::Tensor& pictures) {
    return translate_errors([&] {
        c10::InferenceMode inference;
        return loader_.run({pictures});
    });
}

std::string Model::output_spec() {
    return translate_errors([&] { return loader_.get_call_spec().at(1); });
}

}  // namespace boxqueue
