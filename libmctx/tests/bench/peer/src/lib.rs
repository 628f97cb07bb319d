// SPDX-License-Identifier: MIT
//! The multicast libraries of the Rust registry as peer.c calls them.
mod receiver;
mod sender;

use std::ffi::{c_char, CStr};
use std::net::IpAddr;

/// The group that a caller names.
///
/// # Safety
/// `text` is a C string.
unsafe fn group(text: *const c_char) -> Option<IpAddr> {
    CStr::from_ptr(text).to_str().ok()?.parse().ok()
}

/// Hands an object to the caller for good; NULL for none.
fn give<T>(made: Option<T>) -> *mut T {
    made.map_or(std::ptr::null_mut(), |object| {
        Box::into_raw(Box::new(object))
    })
}
