//! The C boundary: the only unsafe code of this crate.
//!
//! What makes it sound: a `tch::Tensor` owns a valid `at::Tensor` for as long
//! as it is borrowed; the C++ side never keeps a pointer, only counted
//! references; every exception is caught there and comes back as text; without
//! one all three results are fresh `at::Tensor`s that `Tensor::from_ptr` takes
//! over.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_char};
use std::ptr::{null, null_mut};

use tch::Tensor;
use torch_sys::C_tensor;

use crate::MixError;

unsafe extern "C" {
    fn soft_mix_forward(
        x: *const C_tensor,
        rows: *const C_tensor,
        noise: *const C_tensor,
        combine: *mut *mut C_tensor,
        dispatch: *mut *mut C_tensor,
        slots: *mut *mut C_tensor,
    ) -> *mut c_char;
    fn soft_mix_free(message: *mut c_char);
}

/// Combine, dispatch and slots.
pub(crate) fn forward(
    x: &Tensor,
    rows: &Tensor,
    noise: Option<&Tensor>,
) -> Result<[Tensor; 3], MixError> {
    let noise = noise.map_or(null(), Tensor::as_ptr);
    let mut made: [*mut C_tensor; 3] = [null_mut(); 3];
    let [combine, dispatch, slots] = &mut made;
    // SAFETY: see the top of this file; the C++ side accepts a null noise.
    let message =
        unsafe { soft_mix_forward(x.as_ptr(), rows.as_ptr(), noise, combine, dispatch, slots) };
    if message.is_null() {
        // Out of memory for the message itself.
        if made.iter().any(|tensor| tensor.is_null()) {
            let reason = "out of memory".to_owned();
            return Err(MixError::Libtorch { reason });
        }
        // SAFETY: without a message all three are `at::Tensor`s nobody else owns.
        return Ok(made.map(|tensor| unsafe { Tensor::from_ptr(tensor) }));
    }
    // SAFETY: a message is a C string from `strdup`, freed once, here.
    let text = unsafe {
        let text = CStr::from_ptr(message).to_string_lossy().into_owned();
        soft_mix_free(message);
        text
    };
    let reason = text.lines().next().unwrap_or_default().to_owned();
    Err(MixError::Libtorch { reason })
}
