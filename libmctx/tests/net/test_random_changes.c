/* SPDX-License-Identifier: MIT */
/* Memberships that change at random, with lists longer than the system takes, on interfaces that go down, and
 * are deleted and made anew: after every step the library's answer, what arrives and, where lists are short,
 * the kernel's tables are the model's. MCTX_SEED repeats a run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/model.h"
#include "host/random.h"

enum { GROUPS = 3, STEPS = 70, NUMBERS = 14, SHORT = 10, LONG = MODEL_SOURCES };

typedef struct variant {
  uint32_t family;
  uint32_t binding;
  uint32_t max_group_sockets;
  uint32_t longest; /* list */
} variant;

static const variant variants[] = {
    {4, MCTX_BINDING_AUTO, 256, SHORT},    {6, MCTX_BINDING_AUTO, 256, SHORT},
    {4, MCTX_BINDING_WILDCARD, 256, LONG}, {6, MCTX_BINDING_WILDCARD, 256, LONG},
    {4, MCTX_BINDING_AUTO, 256, LONG},     {6, MCTX_BINDING_AUTO, 4, LONG},
    {4, MCTX_BINDING_AUTO, 2, SHORT},      {6, MCTX_BINDING_AUTO, 4, SHORT},
};

static uint64_t random_state;

static uint32_t any_of(uint32_t count) {
  return random_below(&random_state, count);
}

/* ---- the model ---- */

static uint32_t position_of(const model_member *one, const mctx_address *source) {
  uint32_t at = 0;
  while (at < one->source_count && !is_same_host(&one->sources[at], source))
    at++;
  return at;
}

static bool is_same_filter(const model_member *one, const model_member *other) {
  if (one->mode != other->mode || one->source_count != other->source_count) return false;
  for (uint32_t i = 0; i < one->source_count; i++)
    if (position_of(other, &one->sources[i]) == other->source_count) return false;
  return true;
}

/* The memberships that a change is about: of the group, on one interface or on all. */
static uint32_t concerned(model *expected, const model_member *change, model_member **found) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < expected->count; i++) {
    model_member *each = &expected->members[i];
    if (is_same_host(&each->group, &change->group) &&
        (change->interface == NULL || strcmp(each->interface, change->interface) == 0))
      found[count++] = each;
  }
  return count;
}

static mctx_status model_join_one(model *expected, const model_member *change) {
  model_member *found[MODEL_MEMBERS];
  if (concerned(expected, change, found) > 0)
    return is_same_filter(found[0], change) ? MCTX_ERR_MEMBERSHIP_EXISTS : MCTX_ERR_FILTER_DIFFERS;
  expected->members[expected->count++] = *change;
  return MCTX_OK;
}

static mctx_status model_leave_all(model *expected, const model_member *change) {
  model_member *found[MODEL_MEMBERS];
  if (concerned(expected, change, found) == 0) return MCTX_ERR_MEMBERSHIP_NOT_FOUND;
  model_leave(expected, &change->group, change->interface);
  return MCTX_OK;
}

static mctx_status model_filter(model *expected, const model_member *change) {
  model_member *found[MODEL_MEMBERS];
  uint32_t count = concerned(expected, change, found);
  if (count == 0) return MCTX_ERR_MEMBERSHIP_NOT_FOUND;
  for (uint32_t i = 0; i < count; i++) {
    const char *interface = found[i]->interface;
    *found[i] = *change;
    found[i]->interface = interface;
  }
  return MCTX_OK;
}

/* Why one membership would not let a source in, or shut it out; 0: it can. */
static mctx_status refusal_of(const model_member *one, const mctx_address *source, bool let_through) {
  bool listed = position_of(one, source) < one->source_count;
  if (let_through && one->mode == MCTX_INCLUDE) return listed ? MCTX_ERR_SOURCE_EXISTS : MCTX_OK;
  if (let_through) return listed ? MCTX_OK : MCTX_ERR_SOURCE_NOT_FOUND;
  if (one->mode == MCTX_INCLUDE) return MCTX_ERR_FILTER_MODE;
  return listed ? MCTX_ERR_SOURCE_EXISTS : MCTX_OK;
}

/* On all or on none; of several refusals any may be told. */
static bool model_change_source(model *expected, const model_member *change, const mctx_address *source,
                                bool let_through, mctx_status got) {
  model_member *found[MODEL_MEMBERS];
  uint32_t count = concerned(expected, change, found);
  bool refused = count == 0;
  bool fits = count == 0 && got == MCTX_ERR_MEMBERSHIP_NOT_FOUND;
  for (uint32_t i = 0; i < count; i++) {
    mctx_status why = refusal_of(found[i], source, let_through);
    refused = refused || why != MCTX_OK;
    fits = fits || (why != MCTX_OK && got == why);
  }
  if (refused) return fits;
  for (uint32_t i = 0; i < count; i++) {
    uint32_t at = position_of(found[i], source);
    if (at < found[i]->source_count)
      found[i]->sources[at] = found[i]->sources[--found[i]->source_count];
    else
      found[i]->sources[found[i]->source_count++] = *source;
  }
  return got == MCTX_OK;
}

/* ---- one step ---- */

static mctx_address some_source(uint32_t family) {
  return unicast_at(family, cables[any_of(CABLES)].net, 2 + (int)any_of(NUMBERS));
}

static void some_filter(model_member *change, uint32_t family, uint32_t longest) {
  static const uint32_t lengths[] = {0, 0, 1, 2, 3, 12};
  uint32_t length = lengths[any_of(6)];
  if (length > longest) length = longest;
  while (change->source_count < length) {
    mctx_address source = some_source(family);
    if (position_of(change, &source) == change->source_count) change->sources[change->source_count++] = source;
  }
  change->mode = length == 0 ? MCTX_EXCLUDE : any_of(2);
}

/* Room for one more in every list. */
static bool has_room(const model *expected, uint32_t longest) {
  for (uint32_t i = 0; i < expected->count; i++)
    if (expected->members[i].source_count >= longest) return false;
  return true;
}

static const char *change_at_random(mctx_subscription subscription, const variant *how, model *expected) {
  const uint32_t family = how->family;
  model_member change = {.group = group_at(family, 1 + any_of(GROUPS)),
                         .interface = cables[any_of(CABLES)].own};
  mctx_address source = some_source(family);
  uint32_t what = any_of(10);
  if (what >= 4 && any_of(3) == 0) change.interface = NULL;
  if (what < 4 || what == 4) some_filter(&change, family, how->longest);
  mctx_membership wanted = member_of(&change.group, change.interface);
  wanted.mode = change.mode;
  wanted.sources = change.source_count > 0 ? change.sources : NULL;
  wanted.source_count = change.source_count;
  mctx_membership bare = member_of(&change.group, change.interface);
  if (what < 4) {
    assert_status(mctx_join(subscription, &wanted, sizeof wanted, 1, NULL), model_join_one(expected, &change));
    return "join";
  }
  if (what == 4) {
    assert_status(mctx_filter_set(subscription, &wanted, sizeof wanted, NULL), model_filter(expected, &change));
    return "filter_set";
  }
  if (what == 5) {
    assert_status(mctx_leave(subscription, &bare, sizeof bare, 1, NULL), model_leave_all(expected, &change));
    return "leave";
  }
  if (!has_room(expected, how->longest)) return "nothing";
  bool let_through = what < 8;
  mctx_status got = let_through ? mctx_allow(subscription, &bare, sizeof bare, &source, NULL)
                                : mctx_block(subscription, &bare, sizeof bare, &source, NULL);
  if (!model_change_source(expected, &change, &source, let_through, got))
    fail_msg("%s of %s gave %s", let_through ? "allow" : "block", text_of(&source), mctx_status_name(got));
  return let_through ? "allow" : "block";
}

static const char *disturb(mctx_subscription subscription, const variant *how, const model *expected) {
  happenings seen = {0};
  if (any_of(2) == 0) {
    host_run("ip link set xa down && ip link set xa up");
    host_await_link("xa");
    there_begin();
    host_await_link("xb");
    there_end();
    if (how->longest <= SHORT) await_filters(expected);
    return "down and up";
  }
  host_run("ip link delete wa");
  if (any_of(2) == 0) take_events(subscription, &seen); /* looked at while it is away, or not */
  lay_cable(1);
  take_events(subscription, &seen);
  return "made anew";
}

static void changes_at_random(void **state) {
  static model expected;
  const variant *how = *state;
  const uint32_t *family = &how->family;
  (void)host_family((void *)&family);
  random_state = random_seed();
  lay_cables();
  if (how->family == 6) host_run("echo 1 > /proc/sys/net/ipv6/conf/xa/keep_addr_on_down");
  expected.count = 0;
  mctx_context context = open_context();
  mctx_subscription_options options = subscription_options();
  options.binding = how->binding;
  options.max_group_sockets = how->max_group_sockets;
  mctx_subscription subscription = subscribe_with(context, &options);
  for (int i = 0; i < STEPS; i++) {
    const char *what = any_of(12) == 0 ? disturb(subscription, how, &expected)
                                       : change_at_random(subscription, how, &expected);
    if (getenv("MCTX_VERBOSE") != NULL) print_message("step %d: %s\n", i, what);
    assert_reads_back(subscription, &expected);
    if (how->longest <= SHORT) assert_kernel_agrees(&expected, 1);
    probe(how->family, GROUPS);
    assert_hears(subscription, how->family, GROUPS, &expected);
  }
  assert_ok(mctx_close(context, NULL));
  assert_kernel_agrees(NULL, 0);
}

int main(void) {
  enum { ALL = sizeof variants / sizeof variants[0] };
  static char names[ALL][60];
  struct CMUnitTest tests[ALL];
  for (size_t i = 0; i < ALL; i++) {
    snprintf(names[i], sizeof names[0], "IPv%u, %s, %u sockets, lists of %u", variants[i].family,
             variants[i].binding == MCTX_BINDING_WILDCARD ? "wildcard" : "bound", variants[i].max_group_sockets,
             variants[i].longest);
    tests[i] = (struct CMUnitTest){names[i], changes_at_random, NULL, NULL, (void *)(uintptr_t)&variants[i]};
  }
  return cmocka_run_group_tests(tests, NULL, NULL);
}
