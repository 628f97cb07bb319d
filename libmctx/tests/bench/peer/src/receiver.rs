// SPDX-License-Identifier: MIT
//! mcrx-core.
use std::ffi::c_char;
use std::net::{IpAddr, Ipv4Addr};

use mcrx_core::{Context, Packet, SubscriptionConfig, SubscriptionId};

use crate::{give, group};

pub struct Receiver {
    context: Context,
    subscription: SubscriptionId,
    packets: Vec<Packet>,
}

fn open(group: IpAddr, port: u16) -> Option<Receiver> {
    let mut context = Context::new();
    let mut config = SubscriptionConfig::asm_ip(group, port);
    config.interface = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let subscription = context.add_subscription(config).ok()?;
    context.join_subscription(subscription).ok()?;
    Some(Receiver {
        context,
        subscription,
        packets: Vec::new(),
    })
}

/// Joins an IPv4 group on the loopback interface; NULL on failure.
///
/// # Safety
/// `text` is a C string.
#[no_mangle]
pub unsafe extern "C" fn peer_open_receiver(text: *const c_char, port: u16) -> *mut Receiver {
    give(group(text).and_then(|group| open(group, port)))
}

/// Receives datagrams one by one, until there were so many or there is none; returns how many there were.
///
/// # Safety
/// `receiver` is of `peer_open_receiver`.
#[no_mangle]
pub unsafe extern "C" fn peer_receive(receiver: *mut Receiver, wanted: u32) -> u32 {
    let own = &*receiver;
    let Some(subscription) = own.context.get_subscription(own.subscription) else {
        return 0;
    };
    (0..wanted)
        .take_while(|_| matches!(subscription.try_recv(), Ok(Some(_))))
        .count() as u32
}

/// The same in batches, which are kept until the next call.
///
/// # Safety
/// `receiver` is of `peer_open_receiver`.
#[no_mangle]
pub unsafe extern "C" fn peer_receive_batch(receiver: *mut Receiver, wanted: u32) -> u32 {
    let own = &mut *receiver;
    own.packets.clear();
    while (own.packets.len() as u32) < wanted {
        let left = wanted as usize - own.packets.len();
        match own.context.try_recv_batch_into(&mut own.packets, left) {
            Ok(got) if got > 0 => (),
            _ => break,
        }
    }
    own.packets.len() as u32
}
