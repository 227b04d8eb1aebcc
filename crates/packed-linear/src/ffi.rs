//! The C boundary: the only unsafe code of this crate.
//!
//! What makes it sound: a `tch::Tensor` owns a valid `at::Tensor` for as long
//! as it is borrowed; the C++ side never keeps a pointer, only counted
//! references; every exception is caught there and comes back as text; on
//! success `out` is a fresh `at::Tensor` that `Tensor::from_ptr` takes over.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int};
use std::ptr::null;

use tch::Tensor;
use torch_sys::C_tensor;

use crate::PackError;

unsafe extern "C" {
    fn packed_linear_supported() -> c_int;
    fn packed_linear_reorder(
        weight: *const C_tensor,
        rows: i64,
        out: *mut *mut C_tensor,
    ) -> *mut c_char;
    fn packed_linear_forward(
        x: *const C_tensor,
        packed: *const C_tensor,
        transposed: *const C_tensor,
        bias: *const C_tensor,
        out: *mut *mut C_tensor,
    ) -> *mut c_char;
    fn packed_linear_product(
        x: *const C_tensor,
        packed: *const C_tensor,
        bias: *const C_tensor,
        gelu: c_int,
        out: *mut *mut C_tensor,
    ) -> *mut c_char;
    fn packed_linear_transpose(
        packed: *const C_tensor,
        rows: i64,
        out: *mut *mut C_tensor,
    ) -> *mut c_char;
    fn packed_linear_free(message: *mut c_char);
}

pub(crate) fn supported() -> bool {
    // SAFETY: takes nothing and catches every exception.
    unsafe { packed_linear_supported() != 0 }
}

pub(crate) fn reorder(weight: &Tensor, rows: i64) -> Result<Tensor, PackError> {
    // SAFETY: see the top of this file.
    take(|out| unsafe { packed_linear_reorder(weight.as_ptr(), rows, out) })
}

pub(crate) fn forward(
    x: &Tensor,
    packed: &Tensor,
    transposed: &Tensor,
    bias: Option<&Tensor>,
) -> Result<Tensor, PackError> {
    let bias = bias.map_or(null(), Tensor::as_ptr);
    let (packed, transposed) = (packed.as_ptr(), transposed.as_ptr());
    // SAFETY: see the top of this file; the C++ side accepts a null bias.
    take(|out| unsafe { packed_linear_forward(x.as_ptr(), packed, transposed, bias, out) })
}

/// Without gradients; followed by the exact GELU if asked for.
pub(crate) fn product(
    x: &Tensor,
    packed: &Tensor,
    bias: Option<&Tensor>,
    gelu: bool,
) -> Result<Tensor, PackError> {
    let bias = bias.map_or(null(), Tensor::as_ptr);
    let gelu = c_int::from(gelu);
    // SAFETY: see the top of this file; the C++ side accepts a null bias.
    take(|out| unsafe { packed_linear_product(x.as_ptr(), packed.as_ptr(), bias, gelu, out) })
}

/// Wᵀ packed for products with about `rows` rows, from W packed.
pub(crate) fn transpose(packed: &Tensor, rows: i64) -> Result<Tensor, PackError> {
    // SAFETY: see the top of this file.
    take(|out| unsafe { packed_linear_transpose(packed.as_ptr(), rows, out) })
}

/// Calls a function that either fills `out` or returns a message.
fn take(call: impl FnOnce(*mut *mut C_tensor) -> *mut c_char) -> Result<Tensor, PackError> {
    let mut out: *mut C_tensor = std::ptr::null_mut();
    let message = call(&mut out);
    if message.is_null() {
        // Out of memory for the message itself.
        if out.is_null() {
            let reason = "out of memory".to_owned();
            return Err(PackError::Libtorch { reason });
        }
        // SAFETY: without a message `out` is an `at::Tensor` nobody else owns.
        return Ok(unsafe { Tensor::from_ptr(out) });
    }
    // SAFETY: a message is a C string from `strdup`, freed once, here.
    let text = unsafe {
        let text = CStr::from_ptr(message).to_string_lossy().into_owned();
        packed_linear_free(message);
        text
    };
    let first_line = text.lines().next().unwrap_or_default().to_owned();
    Err(PackError::Libtorch { reason: first_line })
}
