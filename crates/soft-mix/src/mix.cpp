// Soft mixing with a gradient written by hand. Automatic differentiation gives
// the tokens two gradients as large as the tokens, one through the logits and
// one through the slots, and adds them up; here both come from one product.
// Nothing here may throw across the C boundary.

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cstdlib>
#include <cstring>
#include <optional>

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

Tensor softmax_backward(const Tensor &gradient, const Tensor &weights) {
  return at::_softmax_backward_data(gradient.contiguous(), weights, -1, weights.scalar_type());
}

// x [B, L, D], rows [S, D], noise [B, L, S] or none
// -> combine [B, L, S], dispatch [B, S, L], slots [B, S, D]
struct SoftMix : torch::autograd::Function<SoftMix> {
  static variable_list forward(AutogradContext *context, const Tensor &x, const Tensor &rows,
                               const std::optional<Tensor> &noise) {
    const auto b = x.size(0), l = x.size(1), d = x.size(2), s = rows.size(0);
    Tensor logits = at::mm(x.reshape({b * l, d}), rows.t()).view({b, l, s});
    if (noise) {
      logits.add_(*noise);
    }
    const Tensor dispatch = at::softmax(logits.transpose(1, 2).contiguous(), -1);
    const Tensor combine = at::softmax(logits, -1);
    context->save_for_backward({x, rows, combine, dispatch});
    context->set_materialize_grads(false);
    return {combine, dispatch, at::bmm(dispatch, x)};
  }

  static variable_list backward(AutogradContext *context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor &x = saved[0], &rows = saved[1], &combine = saved[2], &dispatch = saved[3];
    const auto b = x.size(0), s = rows.size(0), d = x.size(2), l = x.size(1);
    const Tensor &of_combine = gradients[0], &of_dispatch = gradients[1];
    const Tensor of_slots = gradients[2].defined() ? gradients[2].contiguous() : gradients[2];

    // One row of tokens per slot: dispatch weights, then gradients of the logits.
    const Tensor both = at::empty({b, 2 * s, l}, x.options());
    const Tensor of_logits = both.narrow(1, s, s);
    of_logits.zero_();
    if (of_combine.defined()) {
      of_logits.add_(softmax_backward(of_combine, combine).transpose(1, 2));
    }
    Tensor total = of_dispatch;
    if (of_slots.defined()) {
      const Tensor through = at::bmm(x, of_slots.transpose(1, 2)).transpose(1, 2);
      total = total.defined() ? total + through : through;
    }
    if (total.defined()) {
      of_logits.add_(softmax_backward(total, dispatch));
    }

    Tensor of_x, of_rows;
    if (context->needs_input_grad(0)) {
      const Tensor vectors = at::empty({b, 2 * s, d}, x.options());
      vectors.narrow(1, s, s).copy_(rows.unsqueeze(0).expand({b, s, d}));
      if (of_slots.defined()) {
        both.narrow(1, 0, s).copy_(dispatch);
        vectors.narrow(1, 0, s).copy_(of_slots);
        of_x = at::bmm(both.transpose(1, 2), vectors);
      } else {
        of_x = at::bmm(of_logits.transpose(1, 2), vectors.narrow(1, s, s));
      }
    }
    if (context->needs_input_grad(1)) {
      of_rows = at::bmm(of_logits, x).sum(0);
    }
    return {of_x, of_rows, Tensor()};
  }
};

} // namespace

extern "C" {

char *soft_mix_forward(const Tensor *x, const Tensor *rows, const Tensor *noise, Tensor **combine,
                       Tensor **dispatch, Tensor **slots) {
  try {
    const auto given = noise ? std::optional<Tensor>(*noise) : std::nullopt;
    const variable_list made = SoftMix::apply(*x, *rows, given);
    *combine = new Tensor(made[0]);
    *dispatch = new Tensor(made[1]);
    *slots = new Tensor(made[2]);
    return nullptr;
  } catch (const std::exception &error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("an unknown C++ exception");
  }
}

void soft_mix_free(char *message) { std::free(message); }
}
