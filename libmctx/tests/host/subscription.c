/* SPDX-License-Identifier: MIT */
/* Subscriptions in few words. */
#include "host/subscription.h"

#include <stdio.h>
#include <string.h>

/* ---- addresses ---- */

mctx_address group_at(uint32_t family, uint32_t number) {
  mctx_address group = address_of(family == 4 ? "239.7.0.0" : "ff15::7:0");
  size_t last = family == 4 ? 3 : 15;
  group.bytes[last - 1] = (uint8_t)(number >> 8);
  group.bytes[last] = (uint8_t)number;
  group.port = PORT;
  return group;
}

mctx_address unicast_at(uint32_t family, int net, int number) {
  char text[48];
  if (family == 4)
    snprintf(text, sizeof text, "10.%d.0.%d", net, number);
  else
    snprintf(text, sizeof text, "fd%02d::%d", net, number);
  return address_of(text);
}

const char *text_with_port(const mctx_address *address) {
  static _Thread_local char texts[8][64];
  static _Thread_local uint32_t next;
  size_t length;
  char *text = texts[next++ % 8];
  assert_ok(mctx_address_format(address, text, sizeof texts[0], &length, NULL));
  return text;
}

const char *text_of(const mctx_address *address) {
  mctx_address bare = *address;
  bare.port = 0;
  return text_with_port(&bare);
}

bool is_same_host(const mctx_address *one, const mctx_address *other) {
  return one->family == other->family && memcmp(one->bytes, other->bytes, sizeof one->bytes) == 0;
}

/* ---- opening ---- */

mctx_subscription_options subscription_options(void) {
  mctx_subscription_options options;
  mctx_subscription_options_init(&options, sizeof options);
  options.port = PORT;
  options.membership_stride = sizeof(mctx_membership);
  return options;
}

mctx_interface_ref interface_named(const char *name) {
  return name == NULL ? (mctx_interface_ref){0}
                      : (mctx_interface_ref){.by = MCTX_INTERFACE_BY_NAME, .name = name};
}

mctx_membership member_of(const mctx_address *group, const char *interface) {
  return (mctx_membership){.group = *group, .ingress = interface_named(interface)};
}

mctx_subscription subscribe_with(mctx_context context, const mctx_subscription_options *options) {
  mctx_subscription subscription;
  mctx_error error = MCTX_ERROR_INIT;
  mctx_status status = mctx_subscription_open(context, options, &subscription, &error);
  if (status != MCTX_OK)
    fail_msg("%s (%s, %d): %s: %s", mctx_status_name(status), error.field, (int)error.item, error.message,
             error.hint);
  return subscription;
}

mctx_subscription subscribe(mctx_context context, const mctx_address *group, const char *interface) {
  mctx_subscription_options options = subscription_options();
  mctx_membership member = member_of(group, interface);
  options.memberships = &member;
  options.membership_count = 1;
  return subscribe_with(context, &options);
}

void join_group(mctx_subscription subscription, const mctx_address *group, const char *interface) {
  mctx_error error = MCTX_ERROR_INIT;
  mctx_membership member = member_of(group, interface);
  if (mctx_join(subscription, &member, sizeof member, 1, &error) != MCTX_OK)
    fail_msg("join %s: %s (%s): %s: %s", text_of(group), mctx_status_name(error.status), error.field,
             error.message, error.hint);
}

void leave_group(mctx_subscription subscription, const mctx_address *group, const char *interface) {
  mctx_membership member = member_of(group, interface);
  assert_ok(mctx_leave(subscription, &member, sizeof member, 1, NULL));
}

mctx_subscription_info subscription_info(mctx_subscription subscription) {
  mctx_subscription_info info = {.size = sizeof info};
  assert_ok(mctx_subscription_get_info(subscription, &info, NULL));
  return info;
}

uint64_t counter_of(mctx_subscription subscription, const char *name) {
  return metric_of(subscription, MCTX_HANDLE_SUBSCRIPTION, name);
}

int pollable_of(mctx_handle handle) {
  mctx_os_handle native;
  assert_ok(mctx_pollable(handle, &native, NULL));
  assert_int_equal(native.type, MCTX_OS_DESCRIPTOR);
  return (int)native.value;
}

/* ---- receiving ---- */

bool take_next(mctx_subscription subscription, taken *got, int timeout_ms) {
  mctx_error error = MCTX_ERROR_INIT;
  mctx_status status = mctx_recv(subscription, got->data, sizeof got->data, 0, timeout_ms * MILLI, &got->length,
                                 &got->message, sizeof got->message, &error);
  if (status == MCTX_OK) return true;
  if (status != MCTX_ERR_TIMEOUT && status != MCTX_ERR_WOULD_BLOCK)
    fail_msg("%s: %s", mctx_status_name(status), error.message);
  return false;
}

void assert_takes(mctx_subscription subscription, const char *text) {
  static taken got;
  if (!take_next(subscription, &got, PATIENCE_MS)) fail_msg("\"%s\" did not come", text);
  if (got.length != strlen(text) || memcmp(got.data, text, got.length) != 0)
    fail_msg("\"%.*s\" came, not \"%s\"", (int)(got.length < 200 ? got.length : 200), (const char *)got.data,
             text);
}

void assert_takes_nothing(mctx_subscription subscription) {
  static taken got;
  if (take_next(subscription, &got, QUIET_MS))
    fail_msg("\"%.*s\" came, to %s", (int)(got.length < 200 ? got.length : 200), (const char *)got.data,
             text_of(&got.message.group));
}

void assert_discards(mctx_subscription subscription, const char *counter, uint64_t count) {
  int waited = 0;
  do
    assert_takes_nothing(subscription);
  while (counter_of(subscription, counter) < count && (waited += QUIET_MS) < PATIENCE_MS);
  assert_int_equal(counter_of(subscription, counter), count);
}

void basket_init(basket *memory) {
  memset(&memory->batch, 0, sizeof memory->batch);
  memory->batch.size = sizeof memory->batch;
  memory->batch.message_stride = sizeof memory->messages[0];
  memory->batch.arena = memory->arena;
  memory->batch.arena_size = sizeof memory->arena;
  memory->batch.datagrams = memory->datagrams;
  memory->batch.datagram_capacity = DATAGRAMS;
  memory->batch.messages = memory->messages;
  memory->batch.message_capacity = MESSAGES;
}

const unsigned char *payload_in(const basket *memory, uint64_t number) {
  return memory->arena + memory->datagrams[number].offset;
}

/* ---- events ---- */

void take_events(mctx_handle handle, happenings *seen) {
  uint32_t count;
  assert_ok(mctx_events(handle, seen->events + seen->count, sizeof seen->events[0], EVENTS - seen->count,
                        &count, NULL));
  seen->count += count;
}

const mctx_event *event_of(const happenings *seen, uint32_t type) {
  for (uint32_t i = 0; i < seen->count; i++)
    if (seen->events[i].type == type) return &seen->events[i];
  return NULL;
}

mctx_event await_event(mctx_handle handle, uint32_t type) {
  happenings seen = {0};
  for (int waited = 0; waited < PATIENCE_MS; waited += 5) {
    seen.count = 0;
    take_events(handle, &seen);
    const mctx_event *found = event_of(&seen, type);
    if (found != NULL) return *found;
    sleep_ms(5);
  }
  fail_msg("event %u did not come", type);
  return (mctx_event){0};
}
