/* SPDX-License-Identifier: MIT */
/*
 * Random sequences of joins, leaves and changes of filters, with and without faults, against a model of RFC
 * 3678 on a page: after each step the memberships read back, the memberships of the system, and every datagram
 * delivered are what the model says. A failure prints the seed; SEED=n runs that one alone, SEEDS=n so many.
 */
#include <stdio.h>
#include <stdlib.h>

#include "chance.h"
#include "sim_receive.h"

enum { GROUPS = 6, INTERFACES = 2, SOURCES = 6, MEMBERS = 64, STEPS = 60, ELEMENTS = 3, ARRIVALS = 24 };

static const char *const group_names[GROUPS] = {"239.1.1.1", "239.1.1.2", "232.1.1.1",
                                                "ff15::1",   "ff12::2",   "ff15::3"};
static const char *const interface_names[INTERFACES] = {"eth0", "eth1"};

typedef struct model_filter {
  uint32_t mode;
  uint32_t listed; /* a bit for each source */
} model_filter;

typedef struct model_member {
  uint32_t group;
  uint32_t interface;
  model_filter filter;
  bool is_default;
  bool is_fresh; /* made by the call in progress */
  uint32_t names[2];
  uint32_t name_count;
} model_member;

/* What is known of a subscription; `standing`: joined on the default set. */
typedef struct model {
  model_member members[MEMBERS];
  uint32_t count;
  bool stands[GROUPS];
  bool excepts[GROUPS]; /* some interface was left since */
  model_filter standing[GROUPS];
} model;

/* How an element names its interface. */
enum { BY_NAME, BY_INDEX, NAMINGS, EVERYWHERE = NAMINGS };

typedef struct element {
  uint32_t group;
  uint32_t interface;
  uint32_t naming;
  model_filter filter;
} element;

/* ---- chance ---- */

static uint64_t seed;

/* ---- addresses ---- */

static bool is_v6(uint32_t group) {
  return group >= GROUPS / 2;
}

static mctx_address source_address(uint32_t group, uint32_t source) {
  mctx_address address = address_of(is_v6(group) ? "fd00::10" : "10.0.0.16");
  address.bytes[is_v6(group) ? 15 : 3] += (uint8_t)source;
  return address;
}

/* ---- the model ---- */

static bool passes(const model_filter *filter, uint32_t source) {
  return ((filter->listed >> source & 1) != 0) == (filter->mode == MCTX_INCLUDE);
}

static model_member *find(model *m, uint32_t group, uint32_t interface) {
  for (uint32_t i = 0; i < m->count; i++)
    if (m->members[i].group == group && m->members[i].interface == interface) return &m->members[i];
  return NULL;
}

static bool same_filter(const model_filter *a, const model_filter *b) {
  return a->mode == b->mode && a->listed == b->listed;
}

static model_member *add(model *m, const element *e, uint32_t interface, uint32_t naming) {
  model_member *member = &m->members[m->count++];
  *member = (model_member){.group = e->group, .interface = interface, .filter = e->filter, .is_fresh = true};
  member->names[member->name_count++] = naming;
  return member;
}

static mctx_status model_join_named(model *m, const element *e) {
  model_member *member = find(m, e->group, e->interface);
  if (member == NULL) {
    add(m, e, e->interface, e->naming);
    return MCTX_OK;
  }
  if (!same_filter(&member->filter, &e->filter)) return MCTX_ERR_FILTER_DIFFERS;
  if (!member->is_fresh || member->name_count == 2 || member->names[0] == e->naming)
    return MCTX_ERR_MEMBERSHIP_EXISTS;
  member->names[member->name_count++] = e->naming;
  return MCTX_OK;
}

static mctx_status model_join_everywhere(model *m, const element *e) {
  if (m->stands[e->group] && !same_filter(&m->standing[e->group], &e->filter)) return MCTX_ERR_FILTER_DIFFERS;
  if (m->stands[e->group] && !m->excepts[e->group]) return MCTX_ERR_MEMBERSHIP_EXISTS;
  for (uint32_t i = 0; i < INTERFACES; i++) {
    const model_member *member = find(m, e->group, i);
    if (member != NULL && !same_filter(&member->filter, &e->filter)) return MCTX_ERR_FILTER_DIFFERS;
    if (member == NULL) add(m, e, i, BY_NAME)->is_default = true;
  }
  m->stands[e->group] = true;
  m->excepts[e->group] = false;
  m->standing[e->group] = e->filter;
  return MCTX_OK;
}

static mctx_status model_join(model *m, const element *e) {
  if (e->filter.mode == MCTX_INCLUDE && e->filter.listed == 0) return MCTX_ERR_SOURCE_REQUIRED;
  return e->naming == EVERYWHERE ? model_join_everywhere(m, e) : model_join_named(m, e);
}

static mctx_status model_leave(model *m, const element *e) {
  bool any = e->naming == EVERYWHERE && m->stands[e->group];
  for (uint32_t i = m->count; i-- > 0;) {
    const model_member *member = &m->members[i];
    if (member->group != e->group || (e->naming != EVERYWHERE && member->interface != e->interface)) continue;
    memmove(&m->members[i], &m->members[i + 1], (m->count - i - 1) * sizeof m->members[0]);
    m->count--;
    any = true;
    if (m->stands[e->group]) m->excepts[e->group] = true;
  }
  if (e->naming == EVERYWHERE) m->stands[e->group] = false;
  return any ? MCTX_OK : MCTX_ERR_MEMBERSHIP_NOT_FOUND;
}

enum change { ALLOW, BLOCK, SET };

/* The source is the lowest that the element lists. */
static mctx_status change_filter(model_filter *filter, const element *e, enum change change) {
  const uint32_t bit = e->filter.listed & (0u - e->filter.listed);
  const bool is_listed = (filter->listed & bit) != 0;
  if (change == SET) {
    *filter = e->filter;
    return MCTX_OK;
  }
  if (filter->mode == MCTX_INCLUDE && change == BLOCK) return MCTX_ERR_FILTER_MODE;
  const bool adds = filter->mode == MCTX_INCLUDE || change == BLOCK;
  if (adds == is_listed) return adds ? MCTX_ERR_SOURCE_EXISTS : MCTX_ERR_SOURCE_NOT_FOUND;
  filter->listed ^= bit;
  return MCTX_OK;
}

static mctx_status model_change(model *m, const element *e, enum change change) {
  bool any = false;
  if (change == SET && e->filter.mode == MCTX_INCLUDE && e->filter.listed == 0) return MCTX_ERR_SOURCE_REQUIRED;
  for (uint32_t i = 0; i < m->count; i++) {
    model_member *member = &m->members[i];
    if (member->group != e->group || (e->naming != EVERYWHERE && member->interface != e->interface)) continue;
    any = true;
    mctx_status status = change_filter(&member->filter, e, change);
    if (status != MCTX_OK) return status;
  }
  if (e->naming == EVERYWHERE && m->stands[e->group]) {
    /* Where there are memberships, the filter for interfaces to come follows as far as it can. */
    model_filter followed = m->standing[e->group];
    mctx_status status = change_filter(&followed, e, change);
    if (status == MCTX_OK) m->standing[e->group] = followed;
    return any ? MCTX_OK : status;
  }
  return any ? MCTX_OK : MCTX_ERR_MEMBERSHIP_NOT_FOUND;
}

/* ---- the same of the library ---- */

static mctx_subscription subscription;
static mctx_address listed[ELEMENTS][SOURCES];

/* In an order of chance. */
static mctx_membership membership_for(const element *e, uint32_t position, bool with_filter) {
  mctx_membership membership = membership_of(group_names[e->group], NULL);
  if (e->naming == BY_NAME) membership.ingress.by = MCTX_INTERFACE_BY_NAME;
  if (e->naming == BY_NAME) membership.ingress.name = interface_names[e->interface];
  if (e->naming == BY_INDEX) membership.ingress.by = MCTX_INTERFACE_BY_INDEX;
  if (e->naming == BY_INDEX) membership.ingress.index = e->interface + 2;
  if (!with_filter) return membership;
  uint32_t first = chance(SOURCES);
  for (uint32_t i = 0; i < SOURCES; i++) {
    uint32_t source = (first + i) % SOURCES;
    if ((e->filter.listed >> source & 1) != 0)
      listed[position][membership.source_count++] = source_address(e->group, source);
  }
  membership.mode = e->filter.mode;
  membership.sources = listed[position];
  return membership;
}

static mctx_status library_change(const element *e, enum change change, mctx_error *error) {
  const mctx_membership membership = membership_for(e, 0, change == SET);
  uint32_t source = 0;
  while ((e->filter.listed >> source & 1) == 0 && source < SOURCES - 1)
    source++;
  const mctx_address from = source_address(e->group, source);
  if (change == SET) return mctx_filter_set(subscription, &membership, sizeof membership, error);
  if (change == ALLOW) return mctx_allow(subscription, &membership, sizeof membership, &from, error);
  return mctx_block(subscription, &membership, sizeof membership, &from, error);
}

/* ---- what is compared ---- */

#define CHECK(condition)                                                                              \
  do {                                                                                                \
    if (!(condition)) fail_msg("SEED=%llu, step %d: %s", (unsigned long long)seed, step, #condition); \
  } while (0)

static int step;
static uint64_t source_limit;
static bool leaks; /* sockets hear the groups of others */

static uint32_t bits_in(uint32_t set) {
  uint32_t count = 0;
  for (; set != 0; set &= set - 1)
    count++;
  return count;
}

static void compare_names(const model_member *member, uint32_t id) {
  char text[64];
  size_t length;
  for (uint32_t i = 0; i < member->name_count; i++) {
    char number[8] = {'#', (char)('2' + member->interface), '\0'};
    assert_ok(mctx_membership_name(subscription, id, i, text, sizeof text, &length, NULL));
    CHECK(strcmp(text, member->names[i] == BY_INDEX ? number : interface_names[member->interface]) == 0);
  }
  assert_status(mctx_membership_name(subscription, id, member->name_count, text, sizeof text, &length, NULL),
                MCTX_ERR_NOT_FOUND);
}

static void compare_sources(const model_member *member, uint32_t id) {
  mctx_address sources[SOURCES + 1];
  uint32_t count;
  uint32_t next = 0;
  assert_ok(mctx_membership_sources(subscription, id, sources, SOURCES + 1, &count, NULL));
  CHECK(count == bits_in(member->filter.listed));
  for (uint32_t i = 0; i < SOURCES; i++) {
    if ((member->filter.listed >> i & 1) == 0) continue;
    const mctx_address expected = source_address(member->group, i);
    CHECK(memcmp(sources[next++].bytes, expected.bytes, 16) == 0);
  }
}

static void compare_memberships(const model *m) {
  mctx_membership_info infos[MEMBERS];
  uint32_t count = memberships_of(subscription, infos, MEMBERS);
  CHECK(count == m->count);
  for (uint32_t i = 0; i < count; i++) {
    const model_member *member = &m->members[i];
    const mctx_address group = address_of(group_names[member->group]);
    uint32_t flags = member->is_default ? MCTX_MEMBERSHIP_DEFAULT : 0;
    if (member->filter.mode == MCTX_EXCLUDE && bits_in(member->filter.listed) > source_limit)
      flags |= MCTX_MEMBERSHIP_FILTERED;
    if (member->filter.mode == MCTX_EXCLUDE && group.bytes[0] == 232) flags |= MCTX_MEMBERSHIP_SOURCELESS;
    CHECK(memcmp(infos[i].group.bytes, group.bytes, 16) == 0);
    CHECK(infos[i].interface_index == member->interface + 2);
    CHECK(infos[i].mode == member->filter.mode);
    CHECK(infos[i].flags == flags);
    CHECK(infos[i].source_count == bits_in(member->filter.listed));
    CHECK(infos[i].name_count == member->name_count);
    CHECK(i == 0 || infos[i].id > infos[i - 1].id);
    compare_names(member, infos[i].id);
    compare_sources(member, infos[i].id);
  }
}

/* The system's memberships of one of ours: an include list is spread without a source in two places. */
static void compare_with_system(const model_member *member, uint64_t *seen) {
  const mctx_address group = address_of(group_names[member->group]);
  mctx_sim_membership one;
  uint32_t included = 0;
  uint32_t parts = 0;
  for (uint64_t i = 0; mctx_sim_membership_at(i, &one); i++) {
    if (one.interface_index != member->interface + 2 || memcmp(one.group.bytes, group.bytes, 16) != 0) continue;
    parts++;
    CHECK(one.alive == 1);
    CHECK(one.mode == member->filter.mode);
    uint32_t set = 0;
    for (uint32_t k = 0; k < one.source_count; k++)
      for (uint32_t source = 0; source < SOURCES; source++) {
        const mctx_address address = source_address(member->group, source);
        if (memcmp(address.bytes, one.sources[k].bytes, 16) == 0) set |= 1u << source;
      }
    CHECK(bits_in(set) == one.source_count);
    CHECK((included & set) == 0);
    included |= set;
  }
  const bool is_library_filtered =
      member->filter.mode == MCTX_EXCLUDE && bits_in(member->filter.listed) > source_limit;
  CHECK(included == (is_library_filtered ? 0 : member->filter.listed));
  CHECK(member->filter.mode == MCTX_INCLUDE ? parts >= 1 : parts == 1);
  *seen += parts;
}

static void compare_all(const model *m, uint64_t others) {
  uint64_t seen = others;
  compare_memberships(m);
  for (uint32_t i = 0; i < m->count; i++)
    compare_with_system(&m->members[i], &seen);
  CHECK(seen == mctx_sim_memberships());
}

/* ---- datagrams ---- */

typedef struct letter {
  uint32_t group;
  uint32_t interface;
  uint32_t source;
  uint32_t segments; /* datagrams, which a socket that coalesces gets as one message */
  uint32_t delivered;
  uint32_t before; /* of them, before the step */
  bool passed;     /* the model let it through when it arrived */
} letter;

static letter letters[ARRIVALS];
static uint32_t newest[GROUPS][INTERFACES][SOURCES];
static uint32_t letter_count;

static bool is_let_through(model *m, const letter *one) {
  const model_member *member = find(m, one->group, one->interface);
  return member != NULL && passes(&member->filter, one->source);
}

static void let_some_arrive(model *m, uint32_t count) {
  letter_count = 0;
  memset(newest, 0, sizeof newest);
  for (; letter_count < count; letter_count++) {
    letter *one = &letters[letter_count];
    *one = (letter){.group = chance(GROUPS)};
    one->interface = chance(INTERFACES);
    one->source = chance(SOURCES);
    one->segments = 1 + chance(3);
    one->passed = is_let_through(m, one);
    mctx_sim_arrival arrival = arrival_of("10.0.0.1", group_names[one->group], one->interface + 2);
    arrival.source = source_address(one->group, one->source);
    arrival.source.port = 40000;
    const uint32_t payload[3] = {letter_count, letter_count, letter_count};
    arrival.payload = payload;
    arrival.length = one->segments * sizeof payload[0];
    arrival.segment_size = one->segments > 1 ? sizeof payload[0] : 0;
    assert_true(mctx_sim_deliver(&arrival) >= 0);
  }
  /* What is nobody's: another group, an interface without memberships, unicast. */
  (void)arrive(UINT32_MAX, "10.0.0.17", "239.9.9.9", 2);
  (void)arrive(UINT32_MAX, "10.0.0.17", "239.1.1.1", 1);
  (void)arrive(UINT32_MAX, "10.0.0.17", "10.0.0.1", 2);
}

static void take(uint32_t number) {
  CHECK(number < letter_count);
  letter *one = &letters[number];
  one->delivered++;
  uint32_t *last = &newest[one->group][one->interface][one->source];
  CHECK(*last <= number); /* in order for each group, interface and source */
  *last = number;
}

static void drain(void) {
  static batch_memory memory;
  uint32_t ready;
  uint32_t number;
  uint32_t rounds = 0;
  do {
    CHECK(++rounds < 100);
    if (chance(2) == 0) {
      while (try_recv(subscription, &number) == MCTX_OK)
        take(number);
    } else {
      while (recv_batch(subscription, &memory) == MCTX_OK)
        for (uint64_t i = 0; i < memory.batch.datagram_count; i++) {
          CHECK(memory.datagrams[i].length == sizeof number);
          memcpy(&number, memory.arena + memory.datagrams[i].offset, sizeof number);
          take(number);
        }
    }
  } while (mctx_wait(subscription, MCTX_READABLE, 0, 0, &ready, NULL) == MCTX_OK);
}

/* So that of some messages a part is held back. */
static void take_some(void) {
  uint32_t number;
  for (uint32_t some = chance(6); some > 0 && try_recv(subscription, &number) == MCTX_OK; some--)
    take(number);
  for (uint32_t i = 0; i < letter_count; i++)
    letters[i].before = letters[i].delivered;
}

/* What came before the step is delivered if it may be now; once, if the step left its group alone. */
static void check_delivered(model *m, int64_t touched_group, bool arrived_before) {
  for (uint32_t i = 0; i < letter_count; i++) {
    const letter *one = &letters[i];
    const bool passes_now = is_let_through(m, one);
    /* Where groups leak, a copy may wait at the very socket that the step made responsible. */
    const bool is_touched = arrived_before && (int64_t)one->group == touched_group;
    CHECK(one->delivered <= one->segments || (leaks && is_touched));
    CHECK(one->delivered == one->before || passes_now);
    if (!is_touched) CHECK(one->delivered == (passes_now && one->passed ? one->segments : 0));
  }
}

/* ---- steps ---- */

static element random_element(void) {
  element e = {.group = chance(GROUPS)};
  e.interface = chance(INTERFACES);
  e.naming = chance(NAMINGS + 1);
  e.filter.mode = chance(2);
  e.filter.listed = chance(3) == 0 ? 0 : chance(1u << SOURCES);
  if (e.filter.mode == MCTX_INCLUDE && e.filter.listed == 0 && chance(4) != 0) e.filter.listed = 1;
  return e;
}

static const uint32_t faulty_calls[] = {MCTX_SIM_ALLOCATE, MCTX_SIM_INTERFACES,    MCTX_SIM_SOCKET_OPEN,
                                        MCTX_SIM_BIND,     MCTX_SIM_SOCKET_OPTION, MCTX_SIM_JOIN,
                                        MCTX_SIM_FILTER,   MCTX_SIM_HOLD,          MCTX_SIM_POLLER};

enum { FAULTY_CALLS = sizeof faulty_calls / sizeof faulty_calls[0] };

/* Does something to the library and the model; the model keeps a change only if the library made it. Returns
 * the group that was changed, -1 for several or -2 for none. */
static int64_t take_step(model *m, bool with_fault) {
  model changed = *m;
  element e[ELEMENTS];
  mctx_membership memberships[ELEMENTS];
  const uint32_t what = chance(10);
  const uint32_t count = what < 2 || what == 4 ? 1 + chance(ELEMENTS) : 1;
  const bool joins = what < 4;
  const bool leaves = what >= 4 && what < 6;
  mctx_status expected = MCTX_OK;
  mctx_status status;
  mctx_error error = MCTX_ERROR_INIT;
  int64_t item = -1;
  for (uint32_t i = 0; i < count; i++) {
    e[i] = random_element();
    memberships[i] = membership_for(&e[i], i, joins);
  }
  /* All elements are looked at before the first is joined. */
  for (uint32_t i = 0; i < count && joins && expected == MCTX_OK; i++)
    if (e[i].filter.mode == MCTX_INCLUDE && e[i].filter.listed == 0) {
      expected = MCTX_ERR_SOURCE_REQUIRED;
      item = i;
    }
  if (with_fault) {
    const uint64_t nth = 1 + chance(8);
    (void)mctx_sim_fault(faulty_calls[chance(FAULTY_CALLS)], nth, MCTX_SIM_FAIL, MCTX_ERR_NO_MEMORY);
  }
  if (joins || leaves) {
    for (uint32_t i = 0; i < count && expected == MCTX_OK; i++) {
      expected = joins ? model_join(&changed, &e[i]) : model_leave(&changed, &e[i]);
      if (expected != MCTX_OK) item = i;
    }
    status = joins ? mctx_join(subscription, memberships, sizeof memberships[0], count, &error)
                   : mctx_leave(subscription, memberships, sizeof memberships[0], count, &error);
  } else {
    const enum change change = what == 6 ? SET : what < 8 ? ALLOW : BLOCK;
    if (change != SET && e[0].filter.listed == 0) e[0].filter.listed = 1u << chance(SOURCES);
    expected = model_change(&changed, &e[0], change);
    status = library_change(&e[0], change, &error);
  }
  mctx_sim_clear_faults();
  if (!(with_fault && status == MCTX_ERR_NO_MEMORY)) {
    if (status != expected)
      fail_msg("SEED=%llu, step %d: %s, not %s (%s: %s)", (unsigned long long)seed, step,
               mctx_status_name(status), mctx_status_name(expected), error.field, error.message);
    if (status != MCTX_OK && (joins || leaves)) CHECK(error.item == item);
  }
  if (status != MCTX_OK) return -2;
  for (uint32_t i = 0; i < changed.count; i++)
    changed.members[i].is_fresh = false;
  *m = changed;
  return count == 1 ? (int64_t)e[0].group : -1;
}

static void set_up_host(void) {
  static const uint64_t limits[] = {1, 2, 3, 64};
  source_limit = limits[chance(4)];
  assert_true(mctx_sim_limit_set(MCTX_SIM_SOURCES4, source_limit));
  assert_true(mctx_sim_limit_set(MCTX_SIM_SOURCES6, source_limit));
  assert_true(mctx_sim_limit_set(MCTX_SIM_MEMBERSHIPS4, 1 + chance(4)));
  assert_true(mctx_sim_limit_set(MCTX_SIM_MEMBERSHIPS6, 1 + chance(4)));
  if (chance(4) == 0) mctx_sim_capability_set(MCTX_CAPABILITY_BIND_DEVICE, MCTX_CAPABILITY_ABSENT);
  leaks = chance(4) == 0;
  if (leaks) mctx_sim_capability_set(MCTX_CAPABILITY_ISOLATED_SENDER, MCTX_CAPABILITY_ABSENT);
  if (chance(4) == 0) mctx_sim_capability_set(MCTX_CAPABILITY_GROUP_BINDING, MCTX_CAPABILITY_ABSENT);
  if (chance(4) == 0) mctx_sim_capability_set(MCTX_CAPABILITY_COALESCING, MCTX_CAPABILITY_ABSENT);
}

static mctx_subscription_options random_options(void) {
  mctx_subscription_options options = subscription_options();
  options.metadata = chance(2) == 0 ? MCTX_META_ALL : chance(MCTX_META_ALL + 1);
  options.coalescing = (int32_t)chance(2);
  if (chance(3) == 0) options.binding = MCTX_BINDING_WILDCARD;
  if (chance(2) == 0) options.max_group_sockets = chance(4);
  return options;
}

static void run(uint64_t number, bool with_faults) {
  mctx_os_handle others[2];
  model m = {.count = 0};
  seed = number;
  chance_begin(number);
  mctx_sim_reset();
  holdings before = holdings_now();
  set_up_host();
  mctx_context context = open_context();
  const mctx_subscription_options options = random_options();
  subscription = subscribe_with(context, &options);
  /* Another program of the port, with a group of its own and one of ours. */
  const mctx_address locals[2] = {{.family = 4, .port = PORT}, {.family = 6, .port = PORT}};
  static const char *const theirs[2][2] = {{"239.9.9.9", "239.1.1.1"}, {"ff15::9", "ff15::1"}};
  for (int i = 0; i < 2; i++)
    assert_true(mctx_sim_socket(MCTX_SIM_REUSE | locals[i].family, &locals[i], &others[i]));

  for (step = 0; step < STEPS; step++) {
    if (chance(3) == 0) let_some_arrive(&m, chance(ARRIVALS));
    const bool arrived_before = letter_count > 0;
    take_some();
    const int64_t touched = take_step(&m, with_faults && chance(2) == 0);
    compare_all(&m, 0);
    drain();
    if (arrived_before && touched != -1) check_delivered(&m, touched, true);
    for (int i = 0; i < 2; i++)
      for (int k = 0; k < 2 && step == STEPS / 2; k++) {
        /* joined by them alone for one round */
        const mctx_address group = address_of(theirs[i][k]);
        (void)mctx_sim_socket_join(&others[i], &group, 2); /* the limits are theirs too */
      }
    let_some_arrive(&m, ARRIVALS);
    drain();
    check_delivered(&m, -2, false);
    letter_count = 0;
    if (step == STEPS / 2) {
      for (int i = 0; i < 2; i++) {
        mctx_sim_socket_close(&others[i]);
        assert_true(mctx_sim_socket(MCTX_SIM_REUSE | locals[i].family, &locals[i], &others[i]));
      }
    }
  }
  for (int i = 0; i < 2; i++)
    mctx_sim_socket_close(&others[i]);
  assert_closed(context);
  assert_holdings(before);
}

static uint64_t from_environment(const char *name, uint64_t otherwise) {
  const char *text = getenv(name);
  return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void run_all(bool with_faults) {
  const uint64_t one = from_environment("SEED", 0);
  const uint64_t count = from_environment("SEEDS", 150);
  for (uint64_t i = one != 0 ? one : 1; i <= (one != 0 ? one : count); i++)
    run(i, with_faults);
}

static void what_is_delivered_is_what_the_model_says(void **state) {
  (void)state;
  run_all(false);
}

static void a_change_that_fails_leaves_what_was_before(void **state) {
  (void)state;
  run_all(true);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      fixture_test(what_is_delivered_is_what_the_model_says),
      fixture_test(a_change_that_fails_leaves_what_was_before),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
