/* SPDX-License-Identifier: MIT */
/* Subscriptions in few words, and plain senders to them. */
#ifndef MCTX_TESTS_SUBSCRIPTION_H
#define MCTX_TESTS_SUBSCRIPTION_H

#include "host/host.h"

enum { PORT = 5007, QUIET_MS = 30 };

/* ---- addresses ---- */

/* 239.7.X.Y or ff15::7:XY, on PORT. */
mctx_address group_at(uint32_t family, uint32_t number);
/* 10.NET.0.NUMBER or fdNET::NUMBER, without a port. */
mctx_address unicast_at(uint32_t family, int net, int number);
/* Without port; one of a few static buffers. */
const char *text_of(const mctx_address *address);
/* With it, as the tests' plain receivers and publications take it. */
const char *text_with_port(const mctx_address *address);
/* Ports apart. */
bool is_same_host(const mctx_address *one, const mctx_address *other);

/* ---- opening ---- */

mctx_subscription_options subscription_options(void); /* on PORT */
mctx_interface_ref interface_named(const char *name);
/* From any source; interface NULL: none named. */
mctx_membership member_of(const mctx_address *group, const char *interface);
mctx_subscription subscribe_with(mctx_context context, const mctx_subscription_options *options);
/* With the defaults and one membership. */
mctx_subscription subscribe(mctx_context context, const mctx_address *group, const char *interface);
void join_group(mctx_subscription subscription, const mctx_address *group, const char *interface);
void leave_group(mctx_subscription subscription, const mctx_address *group, const char *interface);
mctx_subscription_info subscription_info(mctx_subscription subscription);
uint64_t counter_of(mctx_subscription subscription, const char *name);
int pollable_of(mctx_handle handle);

/* ---- receiving ---- */

typedef struct taken {
  mctx_message message;
  size_t length;
  unsigned char data[LARGEST];
} taken;

/* The next datagram, waiting at most so long; false if there is none. */
bool take_next(mctx_subscription subscription, taken *got, int timeout_ms);
/* What comes next is this text. */
void assert_takes(mctx_subscription subscription, const char *text);
/* Nothing comes for a while. */
void assert_takes_nothing(mctx_subscription subscription);
/* Nothing comes, and a counter of what was discarded gets there: unicast waits for the answer of a neighbour.
 */
void assert_discards(mctx_subscription subscription, const char *counter, uint64_t count);

/* ---- memory for batches ---- */

enum { ARENA = 1 << 18, DATAGRAMS = 4096, MESSAGES = 256 };

typedef struct basket {
  mctx_receive_batch batch;
  mctx_datagram datagrams[DATAGRAMS];
  mctx_message messages[MESSAGES];
  _Alignas(8) unsigned char arena[ARENA];
} basket;

/* Ready for a call; the records' strides are set. */
void basket_init(basket *memory);
const unsigned char *payload_in(const basket *memory, uint64_t number);

/* ---- events ---- */

enum { EVENTS = 64 };

typedef struct happenings {
  uint32_t count;
  mctx_event events[EVENTS];
} happenings;

/* All that wait, added to those that came before. */
void take_events(mctx_handle handle, happenings *seen);
/* The first of a type, or NULL. */
const mctx_event *event_of(const happenings *seen, uint32_t type);
/* Takes events until one of the type is there; the receiver is not called for anything else. */
mctx_event await_event(mctx_handle handle, uint32_t type);

/* ---- senders ---- */

/* A plain socket; source NULL: the kernel chooses. */
int sender_open(uint32_t family, const mctx_address *source, const char *interface);
int sender_there(uint32_t family, const mctx_address *source, const char *interface);
void send_bytes(int sender, const mctx_address *destination, const void *data, size_t length);
/* One call, many datagrams: the sender's kernel makes one packet of them, and the receiver's may leave it so.
 */
void send_superpacket(int sender, const mctx_address *destination, const void *data, size_t length,
                      uint16_t segment_size);
void send_text(int sender, const mctx_address *destination, const char *text);
/* One datagram by a socket of its own. */
void say(const mctx_address *source, const char *interface, const mctx_address *destination, const char *text);
void say_there(const mctx_address *source, const char *interface, const mctx_address *destination,
               const char *text);

#endif
