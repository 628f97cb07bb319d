// SPDX-License-Identifier: MIT
//! mctx-core.
use std::ffi::c_char;
use std::net::{IpAddr, Ipv4Addr};

use mctx_core::{Publication, PublicationConfig, PublicationId};

use crate::{give, group};

fn open(group: IpAddr, port: u16) -> Option<Publication> {
    let config = PublicationConfig::new(group, port).with_interface(Ipv4Addr::LOCALHOST);
    Publication::new(PublicationId(1), config).ok()
}

/// Opens a sender to an IPv4 group on the loopback interface; NULL on failure.
///
/// # Safety
/// `text` is a C string.
#[no_mangle]
pub unsafe extern "C" fn peer_open_sender(text: *const c_char, port: u16) -> *mut Publication {
    give(group(text).and_then(|group| open(group, port)))
}

/// Sends one datagram; 0, or 1.
///
/// # Safety
/// `sender` is of `peer_open_sender`, and `length` bytes stand at `data`.
#[no_mangle]
pub unsafe extern "C" fn peer_send(
    sender: *const Publication,
    data: *const u8,
    length: usize,
) -> i32 {
    let payload = std::slice::from_raw_parts(data, length);
    i32::from((*sender).send(payload).is_err())
}
