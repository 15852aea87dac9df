// The Python module detectors.runtimes.libtorch.binding, which binding.pyi declares. Arrays are not copied, and the GIL is
// released while the model runs.
#include <memory>
#include <stdexcept>
#include <vector>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <ATen/ops/from_blob.h>
#include <torch/headeronly/version.h>

#include "model.h"

namespace nb = nanobind;
using boxqueue::Model;

namespace {

using Input = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;
using Output = nb::ndarray<nb::numpy>;

at::ScalarType type_of(nb::dlpack::dtype type) {
    if (type == nb::dtype<uint8_t>()) return at::kByte;
    if (type == nb::dtype<float>()) return at::kFloat;
    throw nb::type_error("pictures are uint8 or float32");
}

nb::dlpack::dtype type_of(at::ScalarType type) {
    switch (type) {
        case at::kBool: return nb::dtype<bool>();
        case at::kByte: return nb::dtype<uint8_t>();
        case at::kInt: return nb::dtype<int32_t>();
        case at::kLong: return nb::dtype<int64_t>();
        case at::kFloat: return nb::dtype<float>();
        case at::kDouble: return nb::dtype<double>();
        default: throw nb::type_error("an output has a type that NumPy does not have, such as bfloat16");
    }
}

// Keeps alive what a returned array points to: its tensor, whose memory may belong to the model.
struct Owner {
    at::Tensor tensor;
    std::shared_ptr<Model> model;
};

Output to_array(const at::Tensor& tensor, const std::shared_ptr<Model>& model) {
    const auto type = type_of(tensor.scalar_type());
    auto owner = std::make_unique<Owner>(Owner{tensor, model});
    nb::capsule capsule(owner.get(), [](void* owned) noexcept { delete static_cast<Owner*>(owned); });
    owner.release();
    const std::vector<size_t> shape(tensor.sizes().begin(), tensor.sizes().end());
    return Output(tensor.data_ptr(), shape.size(), shape.data(), capsule, tensor.strides().data(), type);
}

std::vector<Output> run(const std::shared_ptr<Model>& model, const Input& pictures) {
    const std::vector<int64_t> shape(pictures.shape_ptr(), pictures.shape_ptr() + pictures.ndim());
    // libtorch only reads it, but from_blob takes no const pointer.
    auto* data = const_cast<void*>(pictures.data());
    const auto batch = at::from_blob(data, shape, at::TensorOptions(type_of(pictures.dtype())));
    std::vector<at::Tensor> outputs;
    {
        nb::gil_scoped_release released;
        outputs = model->run(batch);
    }
    std::vector<Output> arrays;
    for (const auto& output : outputs) arrays.push_back(to_array(output, model));
    return arrays;
}

}  // namespace

NB_MODULE(binding, module) {
    module.attr("VERSION") = TORCH_VERSION;
    nb::class_<Model>(module, "Model")
        .def(nb::init<const std::string&, int>(), nb::arg("file"), nb::arg("threads"),
             nb::call_guard<nb::gil_scoped_release>())
        .def("run", &run, nb::arg("pictures"))
        .def("output_spec", &Model::output_spec);
}
