/* SPDX-License-Identifier: MIT */
/* Both families, every kind of filter, every kind of interface: after each change of a membership the library's
 * own answer, the kernel's tables and what arrives are what the model says. */
#include <stdio.h>
#include <string.h>

#include "host/model.h"

enum { GROUPS = 2 };

/* ---- situations ---- */

typedef enum situation { ONE, THREE, READDRESSED, DOWN_AND_UP, TWO_RECEIVERS, SITUATIONS } situation;

static const char *const situation_names[] = {"one interface", "three interfaces",
                                              "one that gets other addresses", "one that goes down and up",
                                              "two receivers of one port"};

/* ---- changes, and what they do to a filter ---- */

typedef enum act { OPEN, ALLOW, BLOCK, SET, LEAVE, JOIN } act;

/* Sources are numbers: .2, .3, .4 of the cable. */
typedef struct step {
  act what;
  uint32_t mode;
  uint32_t source_count;
  int sources[3];
} step;

typedef struct course {
  const char *name;
  uint32_t count;
  step steps[9];
} course;

static const course courses[] = {
    {"any source",
     9,
     {{OPEN, MCTX_EXCLUDE, 0, {0}},
      {BLOCK, 0, 1, {3}},
      {BLOCK, 0, 1, {4}},
      {ALLOW, 0, 1, {3}},
      {SET, MCTX_INCLUDE, 2, {2, 3}},
      {SET, MCTX_EXCLUDE, 0, {0}},
      {LEAVE, 0, 0, {0}},
      {JOIN, MCTX_INCLUDE, 1, {3}},
      {LEAVE, 0, 0, {0}}}},
    {"an include list",
     7,
     {{OPEN, MCTX_INCLUDE, 1, {2}},
      {ALLOW, 0, 1, {4}},
      {SET, MCTX_INCLUDE, 1, {3}},
      {SET, MCTX_EXCLUDE, 1, {3}},
      {SET, MCTX_INCLUDE, 3, {4, 2, 3}},
      {LEAVE, 0, 0, {0}},
      {JOIN, MCTX_EXCLUDE, 0, {0}}}},
    {"an exclude list",
     8,
     {{OPEN, MCTX_EXCLUDE, 1, {3}},
      {BLOCK, 0, 1, {4}},
      {ALLOW, 0, 1, {3}},
      {SET, MCTX_EXCLUDE, 3, {2, 3, 4}},
      {ALLOW, 0, 1, {2}},
      {SET, MCTX_INCLUDE, 1, {4}},
      {LEAVE, 0, 0, {0}},
      {JOIN, MCTX_EXCLUDE, 2, {4, 2}}}},
};

enum { COURSES = sizeof courses / sizeof courses[0] };

typedef struct row {
  uint32_t family;
  situation where;
  const course *filter;
} row;

/* ---- the model's side of a step ---- */

static mctx_address source_number(uint32_t family, uint32_t interface, int number) {
  return unicast_at(family, cables[interface].net, number);
}

static void model_set(model_member *one, uint32_t family, uint32_t interface, const step *change) {
  one->mode = change->mode;
  one->source_count = change->source_count;
  for (uint32_t i = 0; i < change->source_count; i++)
    one->sources[i] = source_number(family, interface, change->sources[i]);
}

static void model_add(model_member *one, const mctx_address *source) {
  one->sources[one->source_count++] = *source;
}

static void model_take_off(model_member *one, const mctx_address *source) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < one->source_count; i++)
    if (!is_same_host(&one->sources[i], source)) one->sources[kept++] = one->sources[i];
  one->source_count = kept;
}

static void model_step(model *expected, uint32_t family, const mctx_address *group, uint32_t interface,
                       const step *change) {
  const char *name = cables[interface].own;
  mctx_address source = source_number(family, interface, change->sources[0]);
  model_member *last = expected->count > 0 ? &expected->members[interface] : NULL;
  switch (change->what) {
    case OPEN:
    case JOIN:
      model_join(expected, group, name);
      model_set(&expected->members[expected->count - 1], family, interface, change);
      break;
    case SET:
      model_set(last, family, interface, change);
      break;
    case LEAVE:
      model_leave(expected, group, name);
      break;
    case BLOCK:
      model_add(last, &source);
      break;
    case ALLOW:
      if (last->mode == MCTX_INCLUDE)
        model_add(last, &source);
      else
        model_take_off(last, &source);
      break;
  }
}

/* ---- the library's side of a step ---- */

/* Interfaces are named in the membership, one call for each: a source is another one on each cable. */
static void take_step(mctx_context context, mctx_subscription *subscription, uint32_t family,
                      const mctx_address *group, uint32_t interface, const step *change) {
  mctx_address sources[3];
  mctx_error error = MCTX_ERROR_INIT;
  mctx_status status = MCTX_OK;
  mctx_membership member = member_of(group, cables[interface].own);
  for (uint32_t i = 0; i < change->source_count; i++)
    sources[i] = source_number(family, interface, change->sources[i]);
  if (change->what == OPEN || change->what == JOIN || change->what == SET) {
    member.mode = change->mode;
    member.sources = change->source_count > 0 ? sources : NULL;
    member.source_count = change->source_count;
  }
  switch (change->what) {
    case OPEN:
      if (*subscription == 0) {
        mctx_subscription_options options = subscription_options();
        options.memberships = &member;
        options.membership_count = 1;
        *subscription = subscribe_with(context, &options);
        break;
      } /* the other interfaces: */
      /* fall through */
    case JOIN:
      status = mctx_join(*subscription, &member, sizeof member, 1, &error);
      break;
    case SET:
      status = mctx_filter_set(*subscription, &member, sizeof member, &error);
      break;
    case LEAVE:
      status = mctx_leave(*subscription, &member, sizeof member, 1, &error);
      break;
    case ALLOW:
      status = mctx_allow(*subscription, &member, sizeof member, &sources[0], &error);
      break;
    case BLOCK:
      status = mctx_block(*subscription, &member, sizeof member, &sources[0], &error);
      break;
  }
  if (status != MCTX_OK)
    fail_msg("%s: %s (%s): %s: %s", error.operation, mctx_status_name(status), error.field, error.message,
             error.hint);
}

/* ---- what happens to the interface meanwhile ---- */

static void readdress(uint32_t family, uint32_t turn) {
  static const int numbers[] = {1, 7, 8, 1};
  int old = numbers[turn % 3];
  int new = numbers[turn % 3 + 1];
  mctx_address gone = unicast_at(family, 9, old);
  host_run("ip address del %s/%d dev va", text_of(&gone), family == 4 ? 24 : 64);
  mctx_address come = unicast_at(family, 9, new);
  host_run("ip address add %s/%d dev va %s", text_of(&come), family == 4 ? 24 : 64, family == 6 ? "nodad" : "");
}

static void go_down_and_up(const model *expected, uint32_t count) {
  host_run("ip link set va down");
  assert_kernel_joined(expected, count);
  host_run("ip link set va up");
  host_await_link("va");
  there_begin();
  host_await_link("vb");
  there_end();
  await_filters(expected);
}

/* ---- one row of the matrix ---- */

static void assert_all(const row *wanted, const mctx_subscription *subscriptions, const model *expected,
                       uint32_t count) {
  for (uint32_t i = 0; i < count; i++)
    assert_reads_back(subscriptions[i], &expected[i]);
  assert_kernel_agrees(expected, count);
  probe(wanted->family, GROUPS);
  for (uint32_t i = 0; i < count; i++)
    assert_hears(subscriptions[i], wanted->family, GROUPS, &expected[i]);
}

static void memberships_are_what_was_asked_for(void **state) {
  static model expected[2];
  const row *wanted = *state;
  const uint32_t *family_of_row = &wanted->family;
  uint32_t family = host_family((void *)&family_of_row);
  uint32_t interfaces = wanted->where == THREE ? 3 : 1;
  uint32_t receivers = wanted->where == TWO_RECEIVERS ? 2 : 1;
  mctx_subscription subscriptions[2] = {0};
  memset(expected, 0, sizeof expected);
  lay_cables();
  if (family == 6) host_run("echo 1 > /proc/sys/net/ipv6/conf/va/keep_addr_on_down");
  mctx_context context = open_context();
  mctx_address group = group_at(family, 1);
  if (receivers == 2) { /* the other has the same group from any source, and one of its own */
    mctx_address other = group_at(family, 2);
    subscriptions[1] = subscribe(context, &group, "va");
    join_group(subscriptions[1], &other, "wa");
    model_join(&expected[1], &group, "va");
    model_join(&expected[1], &other, "wa");
  }
  for (uint32_t i = 0; i < wanted->filter->count; i++) {
    const step *change = &wanted->filter->steps[i];
    for (uint32_t k = change->what == LEAVE ? interfaces : 0; change->what == LEAVE && k > 0; k--) {
      take_step(context, &subscriptions[0], family, &group, k - 1, change);
      model_step(&expected[0], family, &group, k - 1, change);
    }
    for (uint32_t k = 0; change->what != LEAVE && k < interfaces; k++) {
      take_step(context, &subscriptions[0], family, &group, k, change);
      model_step(&expected[0], family, &group, k, change);
    }
    assert_all(wanted, subscriptions, expected, receivers);
    if (wanted->where == READDRESSED) readdress(family, i);
    if (wanted->where == DOWN_AND_UP) go_down_and_up(expected, receivers);
    if (wanted->where == READDRESSED || wanted->where == DOWN_AND_UP)
      assert_all(wanted, subscriptions, expected, receivers);
  }
  assert_ok(mctx_close(subscriptions[0], NULL));
  assert_kernel_agrees(&expected[1], 1);
  assert_ok(mctx_close(context, NULL));
  assert_kernel_agrees(NULL, 0);
}

int main(void) {
  enum { ROWS = 2 * SITUATIONS * COURSES };
  static row rows[ROWS];
  static char names[ROWS][80];
  struct CMUnitTest tests[ROWS];
  size_t count = 0;
  for (uint32_t family = 4; family <= 6; family += 2)
    for (situation where = ONE; where < SITUATIONS; where++)
      for (size_t i = 0; i < COURSES; i++) {
        rows[count] = (row){family, where, &courses[i]};
        snprintf(names[count], sizeof names[0], "IPv%u, %s, %s", family, courses[i].name,
                 situation_names[where]);
        tests[count] =
            (struct CMUnitTest){names[count], memberships_are_what_was_asked_for, NULL, NULL, &rows[count]};
        count++;
      }
  return cmocka_run_group_tests(tests, NULL, NULL);
}
