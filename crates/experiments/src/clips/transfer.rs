//! Numbers on their way to the device.

use tch::kind::Element;
use tch::{Device, Tensor};

/// The values as a tensor [values] on `device`.
///
/// For a GPU they are copied into pinned memory, from which the device fetches
/// them while this thread goes on; libtorch keeps that memory until it is done.
/// Everything that is computed with the tensor comes later in the same queue.
pub(crate) fn send<T: Element>(values: &[T], device: Device) -> Tensor {
    let tensor = Tensor::from_slice(values);
    if !device.is_cuda() {
        return tensor.to_device(device);
    }
    let pinned = tensor.pin_memory(device);
    pinned.to_device_(device, T::KIND, true, false)
}
