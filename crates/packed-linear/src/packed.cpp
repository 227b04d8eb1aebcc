// The operators `mkldnn::_reorder_linear_weight` and `mkldnn::_linear_pointwise`
// of libtorch, made differentiable with respect to their input. Both are looked
// up by name when first used: they are inside every x86 libtorch built with
// oneDNN but in no public header. Nothing here may throw across the C boundary.

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cstdlib>
#include <cstring>
#include <optional>

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

std::optional<c10::OperatorHandle> find(const char *name) {
  return c10::Dispatcher::singleton().findSchema({name, ""});
}

const c10::OperatorHandle &reorder_operator() {
  static const auto op = find("mkldnn::_reorder_linear_weight");
  TORCH_CHECK(op.has_value(), "this libtorch has no mkldnn::_reorder_linear_weight");
  return *op;
}

const c10::OperatorHandle &linear_operator() {
  static const auto op = find("mkldnn::_linear_pointwise");
  TORCH_CHECK(op.has_value(), "this libtorch has no mkldnn::_linear_pointwise");
  return *op;
}

// W [out, in], dense, into the blocked layout for products with about `rows` rows.
Tensor reorder(const Tensor &weight, int64_t rows) {
  torch::jit::Stack stack{weight, rows};
  reorder_operator().callBoxed(&stack);
  return stack.at(0).toTensor();
}

// x Wᵀ + b, followed by the exact GELU if asked for.
Tensor product(const Tensor &x, const Tensor &packed, const std::optional<Tensor> &bias, bool gelu) {
  torch::jit::Stack stack;
  stack.reserve(6);
  stack.emplace_back(x);
  stack.emplace_back(packed);
  stack.emplace_back(bias);
  stack.emplace_back(gelu ? "gelu" : "none");
  stack.emplace_back(c10::impl::GenericList(c10::OptionalType::create(c10::NumberType::get())));
  stack.push_back(gelu ? c10::IValue("none") : c10::IValue());
  linear_operator().callBoxed(&stack);
  return stack.at(0).toTensor();
}

// dx = dy W, with Wᵀ packed beforehand. The weights themselves are frozen.
struct PackedLinear : torch::autograd::Function<PackedLinear> {
  static Tensor forward(AutogradContext *context, const Tensor &x, const Tensor &packed,
                        const Tensor &transposed, const std::optional<Tensor> &bias) {
    context->saved_data["transposed"] = transposed;
    return product(x, packed, bias, false);
  }

  static variable_list backward(AutogradContext *context, variable_list gradients) {
    const Tensor transposed = context->saved_data["transposed"].toTensor();
    const Tensor dx = product(gradients[0].contiguous(), transposed, std::nullopt, false);
    return {dx, Tensor(), Tensor(), Tensor()};
  }
};

template <typename Work> char *guarded(Work work) {
  try {
    work();
    return nullptr;
  } catch (const std::exception &error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("an unknown C++ exception");
  }
}

std::optional<Tensor> optional(const Tensor *tensor) {
  return tensor ? std::optional<Tensor>(*tensor) : std::nullopt;
}

} // namespace

extern "C" {

// Whether both operators exist; whether the processor runs them is tried.
int packed_linear_supported() {
  try {
    return find("mkldnn::_reorder_linear_weight").has_value() &&
           find("mkldnn::_linear_pointwise").has_value() && at::hasMKLDNN();
  } catch (...) {
    return 0;
  }
}

char *packed_linear_reorder(const Tensor *weight, int64_t rows, Tensor **out) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    *out = new Tensor(reorder(*weight, rows));
  });
}

char *packed_linear_forward(const Tensor *x, const Tensor *packed, const Tensor *transposed,
                            const Tensor *bias, Tensor **out) {
  return guarded([&] {
    *out = new Tensor(PackedLinear::apply(*x, *packed, *transposed, optional(bias)));
  });
}

// Without gradients.
char *packed_linear_product(const Tensor *x, const Tensor *packed, const Tensor *bias, int gelu,
                            Tensor **out) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    *out = new Tensor(product(*x, *packed, optional(bias), gelu != 0));
  });
}

// Wᵀ packed, from W packed.
char *packed_linear_transpose(const Tensor *packed, int64_t rows, Tensor **out) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    *out = new Tensor(reorder(packed->to_dense().transpose(0, 1).contiguous(), rows));
  });
}

void packed_linear_free(char *message) { std::free(message); }
}
