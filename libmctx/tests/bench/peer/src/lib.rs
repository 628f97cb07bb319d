// SPDX-License-Identifier: MIT
//! mcrx-core as receive.c calls it.
use std::ffi::{c_char, CStr};
use std::net::{IpAddr, Ipv4Addr};

use mcrx_core::{Context, Packet, SubscriptionConfig, SubscriptionId};

pub struct Peer {
    context: Context,
    subscription: SubscriptionId,
    packets: Vec<Packet>,
}

fn open(group: &str, port: u16) -> Option<Peer> {
    let mut context = Context::new();
    let mut config = SubscriptionConfig::asm_ip(group.parse().ok()?, port);
    config.interface = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let subscription = context.add_subscription(config).ok()?;
    context.join_subscription(subscription).ok()?;
    Some(Peer {
        context,
        subscription,
        packets: Vec::new(),
    })
}

/// Joins an IPv4 group on the loopback interface; NULL on failure.
///
/// # Safety
/// `group` is a C string.
#[no_mangle]
pub unsafe extern "C" fn peer_open(group: *const c_char, port: u16) -> *mut Peer {
    let group = CStr::from_ptr(group).to_str().unwrap_or("");
    open(group, port).map_or(std::ptr::null_mut(), |peer| Box::into_raw(Box::new(peer)))
}

/// Receives datagrams one by one, until there were so many or there is none; returns how many there were.
///
/// # Safety
/// `peer` is of `peer_open`.
#[no_mangle]
pub unsafe extern "C" fn peer_recv(peer: *mut Peer, wanted: u32) -> u32 {
    let peer = &*peer;
    let Some(subscription) = peer.context.get_subscription(peer.subscription) else {
        return 0;
    };
    (0..wanted)
        .take_while(|_| matches!(subscription.try_recv(), Ok(Some(_))))
        .count() as u32
}

/// The same in batches, which are kept until the next call.
///
/// # Safety
/// `peer` is of `peer_open`.
#[no_mangle]
pub unsafe extern "C" fn peer_recv_batch(peer: *mut Peer, wanted: u32) -> u32 {
    let peer = &mut *peer;
    peer.packets.clear();
    while (peer.packets.len() as u32) < wanted {
        let left = wanted as usize - peer.packets.len();
        match peer.context.try_recv_batch_into(&mut peer.packets, left) {
            Ok(got) if got > 0 => (),
            _ => break,
        }
    }
    peer.packets.len() as u32
}
