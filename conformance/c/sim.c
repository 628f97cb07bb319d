/* SPDX-License-Identifier: MIT */
/* The simulated network's controls, looked up at run time: the public library has none of them. */
#include "mctx_sim.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "runner.h"

static struct controls {
  void (*reset)(void);
  int32_t (*fault_after)(uint32_t, uint64_t, uint32_t, uint32_t, int64_t);
  void (*clear_faults)(void);
  uint64_t (*calls)(uint32_t);
  int64_t (*now)(void);
  void (*advance)(int64_t);
  int32_t (*interface_set)(uint32_t, const char *, uint32_t, uint32_t);
  int32_t (*interface_remove)(uint32_t);
  int32_t (*address_add)(uint32_t, const mctx_address *);
  int32_t (*address_remove)(uint32_t, const mctx_address *);
  void (*route_set)(uint32_t, uint32_t);
  void (*buffer)(uint32_t, int64_t);
  void (*capability_set)(uint32_t, uint32_t);
  int32_t (*pacing_set)(uint32_t, int32_t);
  uint64_t (*wire_count)(void);
  int32_t (*wire_at)(uint64_t, mctx_sim_datagram *);
  uint64_t (*wire_hash)(uint64_t);
  void (*wire_clear)(void);
  uint64_t (*superpackets)(void);
  uint64_t (*open_sockets)(void);
  uint64_t (*open_events)(void);
  uint64_t (*open_pollers)(void);
  uint64_t (*open_watches)(void);
  uint64_t (*live_blocks)(void);
  uint64_t (*misuses)(void);
  int32_t (*deliver)(const mctx_sim_arrival *);
  uint64_t (*queued)(void);
  int32_t (*limit_set)(uint32_t, uint64_t);
  int32_t (*refuse)(uint32_t, uint32_t, mctx_status);
  uint64_t (*memberships)(void);
  int32_t (*membership_at)(uint64_t, mctx_sim_membership *);
  void (*watch_overflow)(void);
  uint32_t (*ready)(const mctx_os_handle *);
  int32_t (*socket)(uint32_t, const mctx_address *, mctx_os_handle *);
  void (*socket_close)(const mctx_os_handle *);
  int64_t (*socket_hash)(const mctx_os_handle *);
} sim;

static bool found;
static bool looked;

/* A function's address without the cast that ISO C forbids. */
static void look_up(const char *name, void *slot) {
  void *symbol = dlsym(RTLD_DEFAULT, name);
  memcpy(slot, &symbol, sizeof symbol);
  if (symbol == NULL) found = false;
}

static void look_up_all(void) {
  looked = true;
  found = true;
  look_up("mctx_sim_reset", &sim.reset);
  look_up("mctx_sim_fault_after", &sim.fault_after);
  look_up("mctx_sim_clear_faults", &sim.clear_faults);
  look_up("mctx_sim_calls", &sim.calls);
  look_up("mctx_sim_now", &sim.now);
  look_up("mctx_sim_advance", &sim.advance);
  look_up("mctx_sim_interface_set", &sim.interface_set);
  look_up("mctx_sim_interface_remove", &sim.interface_remove);
  look_up("mctx_sim_address_add", &sim.address_add);
  look_up("mctx_sim_address_remove", &sim.address_remove);
  look_up("mctx_sim_route_set", &sim.route_set);
  look_up("mctx_sim_buffer", &sim.buffer);
  look_up("mctx_sim_capability_set", &sim.capability_set);
  look_up("mctx_sim_pacing_set", &sim.pacing_set);
  look_up("mctx_sim_wire_count", &sim.wire_count);
  look_up("mctx_sim_wire_at", &sim.wire_at);
  look_up("mctx_sim_wire_hash", &sim.wire_hash);
  look_up("mctx_sim_wire_clear", &sim.wire_clear);
  look_up("mctx_sim_superpackets", &sim.superpackets);
  look_up("mctx_sim_open_sockets", &sim.open_sockets);
  look_up("mctx_sim_open_events", &sim.open_events);
  look_up("mctx_sim_open_pollers", &sim.open_pollers);
  look_up("mctx_sim_open_watches", &sim.open_watches);
  look_up("mctx_sim_live_blocks", &sim.live_blocks);
  look_up("mctx_sim_misuses", &sim.misuses);
  look_up("mctx_sim_deliver", &sim.deliver);
  look_up("mctx_sim_queued", &sim.queued);
  look_up("mctx_sim_limit_set", &sim.limit_set);
  look_up("mctx_sim_refuse", &sim.refuse);
  look_up("mctx_sim_memberships", &sim.memberships);
  look_up("mctx_sim_membership_at", &sim.membership_at);
  look_up("mctx_sim_watch_overflow", &sim.watch_overflow);
  look_up("mctx_sim_ready", &sim.ready);
  look_up("mctx_sim_socket", &sim.socket);
  look_up("mctx_sim_socket_close", &sim.socket_close);
  look_up("mctx_sim_socket_hash", &sim.socket_hash);
}

bool sim_available(void) {
  if (!looked) look_up_all();
  return found;
}

uint64_t sim_misuses(void) {
  return sim_available() ? sim.misuses() : 0;
}

void sim_case_begin(void) {
  if (sim_available()) sim.reset();
}

uint64_t sim_held(void) {
  return sim.open_sockets() + sim.open_events() + sim.open_pollers() + sim.open_watches() + sim.live_blocks();
}

bool sim_socket(uint32_t family, const mctx_address *local, mctx_os_handle *native) {
  mctx_address none = {0};
  return sim.socket(family, local == NULL ? &none : local, native) != 0;
}

void sim_socket_close(const mctx_os_handle *native) {
  sim.socket_close(native);
}

int64_t sim_socket_hash(const mctx_os_handle *native) {
  return sim.socket_hash(native);
}

/* ---- operations ---- */

static const char *const call_names[] = {"allocate",      "interfaces", "route",   "event_open", "socket_open",
                                         "socket_option", "bind",       "connect", "local",      "send",
                                         "wait",          "join",       "leave",   "filter",     "receive",
                                         "poller",        "watch",      "hold",    NULL};
static const char *const fault_names[] = {"",          "fail",    "partial",      "earlier",
                                          "delivered", "new_mtu", "new_segments", NULL};

static void need(call *c, int32_t done) {
  if (done == 0) call_invalid(c, "the simulated network has no room for it, or no such thing");
}

/* A status by its name, "ok" for none. */
static int64_t value_status(call *c, value *from) {
  int64_t number = 0;
  char constant[80];
  if (yyjson_mut_equals_str(from, "ok")) return MCTX_OK;
  snprintf(constant, sizeof constant, "MCTX_ERR_%s", yyjson_mut_get_str(from));
  for (char *letter = constant; *letter != '\0'; letter++) {
    if (*letter >= 'a' && *letter <= 'z') *letter = (char)(*letter - 'a' + 'A');
  }
  if (mctx_constant(constant, &number, NULL) != MCTX_OK) call_invalid(c, "no constant %s", constant);
  return number;
}

static void fault(call *c) {
  uint32_t type = arg_name(c, "type", fault_names, 0);
  value *given = arg(c, "value");
  int64_t number = yyjson_mut_is_str(given) ? value_status(c, given) : value_i64(c, given);
  if (c->invalid) return;
  need(c, sim.fault_after(arg_name(c, "call", call_names, 0), arg_u64(c, "nth", 1),
                          (uint32_t)arg_u64(c, "messages", 0), type, number));
}

static void clear_faults(call *c) {
  (void)c;
  sim.clear_faults();
}

static void calls(call *c) {
  result_u64(c, "calls", sim.calls(arg_name(c, "call", call_names, 0)));
}

static void now(call *c) {
  result(c, "now_ns", make_i64(c->doc, sim.now()));
}

static void advance(call *c) {
  sim.advance(arg_i64(c, "duration_ns", 0));
}

static void interface_set(call *c) {
  need(c, sim.interface_set((uint32_t)arg_u64(c, "index", 0), arg_text(c, "name"),
                            arg_bits(c, "flags", interface_flag_names), (uint32_t)arg_u64(c, "mtu", 1500)));
}

static void interface_remove(call *c) {
  need(c, sim.interface_remove((uint32_t)arg_u64(c, "index", 0)));
}

static void address_add(call *c) {
  mctx_address address = value_address(c, arg(c, "address"));
  need(c, sim.address_add((uint32_t)arg_u64(c, "index", 0), &address));
}

static void address_remove(call *c) {
  mctx_address address = value_address(c, arg(c, "address"));
  need(c, sim.address_remove((uint32_t)arg_u64(c, "index", 0), &address));
}

static void route_set(call *c) {
  sim.route_set(arg_name(c, "family", family_names, 0), (uint32_t)arg_u64(c, "index", 0));
}

static void buffer(call *c) {
  sim.buffer((uint32_t)arg_u64(c, "datagrams", 0), arg_i64(c, "drain_ns", 0));
}

static void capability_set(call *c) {
  static const char *const states[] = {"absent", "refused", "needs_privilege", "available", NULL};
  const char *wanted = arg_text(c, "capability");
  for (uint32_t id = 0; mctx_capability_name(id) != NULL; id++) {
    if (strcmp(mctx_capability_name(id), wanted) == 0) sim.capability_set(id, arg_name(c, "state", states, 0));
  }
}

static value *make_datagram(call *c, const mctx_sim_datagram *datagram) {
  value *one = yyjson_mut_obj(c->doc);
  yyjson_mut_obj_add_val(c->doc, one, "payload", make_payload(c->doc, datagram->payload, datagram->stored));
  yyjson_mut_obj_add_val(c->doc, one, "length", make_u64(c->doc, datagram->length));
  yyjson_mut_obj_add_val(c->doc, one, "source", make_address(c->doc, &datagram->source));
  yyjson_mut_obj_add_val(c->doc, one, "destination", make_address(c->doc, &datagram->destination));
  yyjson_mut_obj_add_int(c->doc, one, "interface_index", datagram->interface_index);
  yyjson_mut_obj_add_int(c->doc, one, "hop_limit", datagram->hop_limit);
  yyjson_mut_obj_add_int(c->doc, one, "loopback", datagram->loopback);
  yyjson_mut_obj_add_int(c->doc, one, "dscp", datagram->dscp);
  yyjson_mut_obj_add_int(c->doc, one, "local_only", datagram->local_only);
  return one;
}

/* All that the wire holds, in order. */
static void wire(call *c) {
  value *datagrams = yyjson_mut_arr(c->doc);
  uint64_t count = sim.wire_count();
  for (uint64_t i = 0; i < count; i++) {
    mctx_sim_datagram datagram;
    if (sim.wire_at(i, &datagram) != 0) yyjson_mut_arr_append(datagrams, make_datagram(c, &datagram));
  }
  result_u64(c, "count", count);
  result(c, "datagrams", datagrams);
}

/* FNV-1a */
static uint64_t hash_of(const mctx_slice *payload) {
  const unsigned char *bytes = payload->data;
  uint64_t hash = UINT64_C(14695981039346656037);
  for (uint64_t i = 0; i < payload->length; i++)
    hash = (hash ^ bytes[i]) * UINT64_C(1099511628211);
  return hash;
}

/* How many of the wire's datagrams, from the first on, are what a sequence of that length is. */
static void wire_sequence(call *c) {
  size_t expected = 0;
  mctx_slice *sequence = value_payloads(c, c->args, &expected);
  uint64_t count = sim.wire_count();
  uint64_t in_sequence = 0;
  while (in_sequence < count && in_sequence < expected) {
    mctx_sim_datagram datagram;
    const mctx_slice *wanted = &sequence[in_sequence];
    if (sim.wire_at(in_sequence, &datagram) == 0 || datagram.length != wanted->length ||
        sim.wire_hash(in_sequence) != hash_of(wanted)) {
      break;
    }
    in_sequence++;
  }
  payloads_free(sequence, expected);
  result_u64(c, "count", count);
  result_u64(c, "in_sequence", in_sequence);
}

static void wire_clear(call *c) {
  (void)c;
  sim.wire_clear();
}

static void superpackets(call *c) {
  result_u64(c, "superpackets", sim.superpackets());
}

static void pacing_set(call *c) {
  need(c, sim.pacing_set((uint32_t)arg_u64(c, "index", 0), yyjson_mut_is_true(arg(c, "paces")) ? 1 : 0));
}

/* ---- receiving ---- */

static void deliver(call *c) {
  mctx_slice payload = value_payload(c, arg(c, "payload"));
  mctx_sim_arrival arrival = {.source = value_address(c, arg(c, "source")),
                              .destination = value_address(c, arg(c, "destination")),
                              .interface_index = (uint32_t)arg_u64(c, "interface_index", 2),
                              .hop_limit = (int32_t)arg_i64(c, "hop_limit", 1),
                              .traffic_class = (int32_t)arg_i64(c, "traffic_class", 0),
                              .segment_size = (uint32_t)arg_u64(c, "segment_size", 0),
                              .delay_ns = arg_i64(c, "delay_ns", 0),
                              .payload = payload.data,
                              .length = payload.length};
  int32_t sockets = c->invalid ? 0 : sim.deliver(&arrival);
  if (sockets < 0) call_invalid(c, "the simulated network takes no such message");
  result_int(c, "sockets", sockets);
  payloads_free(&payload, 0);
}

static void queued(call *c) {
  result_u64(c, "messages", sim.queued());
}

static void limit_set(call *c) {
  static const char *const limits[] = {"memberships_ipv4", "sources_ipv4", "memberships_ipv6",
                                       "sources_ipv6",     "queue",        "descriptors",
                                       "segments",         "segment_size", NULL};
  need(c, sim.limit_set(arg_name(c, "limit", limits, 0), arg_u64(c, "value", 0)));
}

static void refuse(call *c) {
  mctx_status status = (mctx_status)value_status(c, arg(c, "status"));
  need(c, sim.refuse((uint32_t)arg_u64(c, "index", 0), arg_name(c, "family", family_names, 0), status));
}

static value *make_membership(document *doc, const mctx_sim_membership *from) {
  value *made = yyjson_mut_obj(doc);
  yyjson_mut_obj_add_val(doc, made, "group", make_address(doc, &from->group));
  yyjson_mut_obj_add_int(doc, made, "interface_index", from->interface_index);
  yyjson_mut_obj_add_bool(doc, made, "alive", from->alive != 0);
  yyjson_mut_obj_add_str(doc, made, "mode", from->mode == MCTX_INCLUDE ? "include" : "exclude");
  yyjson_mut_obj_add_int(doc, made, "source_count", from->source_count);
  return made;
}

static int by_text(const void *left, const void *right) {
  text a = {0};
  text b = {0};
  canonical(*(value *const *)left, &a);
  canonical(*(value *const *)right, &b);
  int order = strcmp(text_get(&a), text_get(&b));
  text_free(&a);
  text_free(&b);
  return order;
}

/* What the simulated system has joined, in order of their texts. */
static void memberships(call *c) {
  value *sorted[MAX_LISTED];
  uint64_t count = sim.memberships();
  size_t listed = 0;
  for (uint64_t i = 0; i < count && listed < MAX_LISTED; i++) {
    mctx_sim_membership one;
    if (sim.membership_at(i, &one) != 0) sorted[listed++] = make_membership(c->doc, &one);
  }
  qsort(sorted, listed, sizeof sorted[0], by_text);
  value *list = yyjson_mut_arr(c->doc);
  for (size_t i = 0; i < listed; i++)
    yyjson_mut_arr_append(list, sorted[i]);
  result_u64(c, "count", count);
  result(c, "memberships", list);
}

static void watch_overflow(call *c) {
  (void)c;
  sim.watch_overflow();
}

static void ready(call *c) {
  mctx_os_handle native = {.value = arg_i64(c, "native", 0), .type = MCTX_OS_DESCRIPTOR};
  result(c, "ready", make_bits(c->doc, sim.ready(&native), ready_names));
}

const operation sim_operations[] = {{"sim_fault", fault},
                                    {"sim_clear_faults", clear_faults},
                                    {"sim_calls", calls},
                                    {"sim_now", now},
                                    {"sim_advance", advance},
                                    {"sim_interface_set", interface_set},
                                    {"sim_interface_remove", interface_remove},
                                    {"sim_address_add", address_add},
                                    {"sim_address_remove", address_remove},
                                    {"sim_route_set", route_set},
                                    {"sim_buffer", buffer},
                                    {"sim_capability_set", capability_set},
                                    {"sim_pacing_set", pacing_set},
                                    {"sim_wire", wire},
                                    {"sim_wire_sequence", wire_sequence},
                                    {"sim_wire_clear", wire_clear},
                                    {"sim_superpackets", superpackets},
                                    {"sim_deliver", deliver},
                                    {"sim_queued", queued},
                                    {"sim_limit_set", limit_set},
                                    {"sim_refuse", refuse},
                                    {"sim_memberships", memberships},
                                    {"sim_watch_overflow", watch_overflow},
                                    {"sim_ready", ready},
                                    {NULL, NULL}};
