/* SPDX-License-Identifier: MIT */
/* The port of a subscription among other sockets: shared or alone, given or chosen. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/subscription.h"

/* A plain socket on the port, on any address or on one; -1 if it is refused. */
static int plain_on(const mctx_address *address, bool shared) {
  struct sockaddr_storage native;
  int on = 1;
  int sharing = shared;
  int made = socket(address->family == 6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  assert_true(made >= 0);
  assert_int_equal(0, setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &sharing, sizeof sharing));
  if (address->family == 6) assert_int_equal(0, setsockopt(made, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on));
  socklen_t length = native_address(&native, address);
  if (bind(made, (struct sockaddr *)&native, length) == 0) return made;
  assert_int_equal(errno, EADDRINUSE);
  close(made);
  return -1;
}

static mctx_subscription_options alone_or_shared(int32_t port, int32_t reuse_port) {
  mctx_subscription_options options = subscription_options();
  options.port = port;
  options.reuse_port = reuse_port;
  return options;
}

/* With groups and without, and whichever way its sockets are bound. */
static void a_port_may_be_alone(void **state) {
  uint32_t family = host_family(state);
  host_alone();
  mctx_address wildcard = {.family = (uint8_t)family, .port = PORT};
  mctx_address group = group_at(family, 1);
  mctx_context context = open_context();
  for (uint32_t binding = MCTX_BINDING_AUTO; binding <= MCTX_BINDING_WILDCARD;
       binding += MCTX_BINDING_WILDCARD) {
    mctx_subscription refused;
    mctx_error error = MCTX_ERROR_INIT;
    mctx_subscription_options options = alone_or_shared(PORT, 0);
    options.binding = binding;

    int plain = plain_on(&wildcard, true); /* somebody was first */
    assert_true(plain >= 0);
    mctx_membership member = member_of(&group, "lo");
    options.memberships = &member;
    options.membership_count = 1;
    assert_status(mctx_subscription_open(context, &options, &refused, &error), MCTX_ERR_ADDRESS_IN_USE);
    assert_string_equal(error.field, "port");
    assert_string_not_equal(error.hint, "");
    assert_int_equal(refused, 0);
    close(plain);

    mctx_subscription alone = subscribe_with(context, &options);
    assert_int_equal(subscription_info(alone).reuse_port, 0);
    assert_int_equal(plain_on(&wildcard, true), -1);
    mctx_subscription_options second = alone_or_shared(PORT, 1);
    second.memberships = &member;
    second.membership_count = 1;
    assert_status(mctx_subscription_open(context, &second, &refused, &error), MCTX_ERR_ADDRESS_IN_USE);
    mctx_address later = group_at(family, 2); /* its own sockets do not stand in its way */
    join_group(alone, &later, "lo");
    say(NULL, "lo", &later, "mine");
    assert_takes(alone, "mine");
    assert_int_equal(plain_on(&wildcard, true), -1);
    assert_ok(mctx_close(alone, NULL));
    plain = plain_on(&wildcard, false); /* free at once */
    assert_true(plain >= 0);
    close(plain);
  }
  assert_ok(mctx_close(context, NULL));
}

static void a_chosen_port_is_kept(void **state) {
  uint32_t family = host_family(state);
  host_alone();
  mctx_context context = open_context();
  for (int32_t reuse_port = 0; reuse_port <= 1; reuse_port++) {
    mctx_subscription_options options = alone_or_shared(0, reuse_port);
    mctx_subscription subscription = subscribe_with(context, &options);
    uint32_t port = subscription_info(subscription).port;
    assert_in_range(port, 1, 65535);
    for (uint32_t each = 4; each <= 6; each += 2) { /* nothing is joined, and still it is taken */
      mctx_address wildcard = {.family = (uint8_t)each, .port = (uint16_t)port};
      if (each == family) assert_int_equal(plain_on(&wildcard, false), -1);
    }
    mctx_address group = group_at(family, 1);
    group.port = (uint16_t)port;
    join_group(subscription, &group, "lo");
    say(NULL, "lo", &group, "chosen");
    assert_takes(subscription, "chosen");
    leave_group(subscription, &group, NULL);
    mctx_address wildcard = {.family = (uint8_t)family, .port = (uint16_t)port};
    assert_int_equal(plain_on(&wildcard, false), -1);
    assert_ok(mctx_close(subscription, NULL));
    int plain = plain_on(&wildcard, false);
    assert_true(plain >= 0);
    close(plain);
  }
  assert_ok(mctx_close(context, NULL));
}

/* Everybody who shares the port gets his copy. */
static void a_shared_port_serves_all(void **state) {
  static arrival seen;
  uint32_t family = host_family(state);
  host_alone();
  mctx_address group = group_at(family, 1);
  int plain = receiver_open(text_with_port(&group), "lo");
  mctx_context contexts[2] = {open_context(), open_context()};
  mctx_subscription subscriptions[2];
  for (int i = 0; i < 2; i++)
    subscriptions[i] = subscribe(contexts[i], &group, "lo");
  mctx_publication_options options = options_through(text_with_port(&group), "lo");
  options.source_port = PORT; /* as mDNS does */
  mctx_publication publication = open_with(contexts[0], &options);
  assert_ok(mctx_send(publication, "all", 3, NULL));
  for (int i = 0; i < 2; i++) {
    assert_takes(subscriptions[i], "all");
    assert_takes_nothing(subscriptions[i]);
  }
  assert_true(receiver_next(plain, &seen, PATIENCE_MS));
  assert_int_equal(seen.source.port, PORT);
  for (int i = 0; i < 2; i++)
    assert_ok(mctx_close(contexts[i], NULL));
  close(plain);
}

/* Sockets that are bound to their groups hold no more than those; one that is bound to the port alone does. */
static void alone_is_what_is_joined(void **state) {
  uint32_t family = host_family(state);
  host_alone();
  mctx_address group = group_at(family, 1);
  mctx_address other = group_at(family, 2);
  mctx_context context = open_context();
  for (uint32_t binding = MCTX_BINDING_AUTO; binding <= MCTX_BINDING_WILDCARD;
       binding += MCTX_BINDING_WILDCARD) {
    mctx_subscription_options options = alone_or_shared(PORT, 0);
    options.binding = binding;
    mctx_subscription alone = subscribe_with(context, &options);
    join_group(alone, &group, "lo");
    group.port = other.port = PORT;
    assert_int_equal(plain_on(&group, true), -1);
    int plain = plain_on(&other, true);
    assert_int_equal(plain >= 0, binding == MCTX_BINDING_AUTO);
    const mctx_membership member = member_of(&other, "lo");
    assert_status(mctx_join(alone, &member, sizeof member, 1, NULL),
                  binding == MCTX_BINDING_AUTO ? MCTX_ERR_ADDRESS_IN_USE : MCTX_OK);
    if (plain >= 0) close(plain);
    assert_ok(mctx_close(alone, NULL));
  }
  assert_ok(mctx_close(context, NULL));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      BOTH_FAMILIES(a_port_may_be_alone),
      BOTH_FAMILIES(alone_is_what_is_joined),
      BOTH_FAMILIES(a_chosen_port_is_kept),
      BOTH_FAMILIES(a_shared_port_serves_all),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
