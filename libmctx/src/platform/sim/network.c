/* SPDX-License-Identifier: MIT */
/* Interfaces, addresses, routes and capabilities of the simulated host. The rules are Linux's. */
#include <stdio.h>
#include <string.h>

#include "sim.h"

#define LOOPBACK_FLAGS (MCTX_INTERFACE_UP | MCTX_INTERFACE_RUNNING | MCTX_INTERFACE_LOOPBACK)
#define ETHERNET_FLAGS \
  (MCTX_INTERFACE_UP | MCTX_INTERFACE_RUNNING | MCTX_INTERFACE_MULTICAST | MCTX_INTERFACE_BROADCAST)
#define CAPABILITIES (MCTX_CAPABILITY_PACING + 1)

static const mctx__sim_interface first_interfaces[] = {
    {.index = 1, .flags = LOOPBACK_FLAGS, .mtu = 65536, .name = "lo"},
    {.index = 2, .flags = ETHERNET_FLAGS, .mtu = 1500, .name = "eth0"},
    {.index = 3, .flags = ETHERNET_FLAGS, .mtu = 1500, .name = "eth1"},
};

static const mctx__sim_address first_addresses[] = {
    {1, {4, 8, 0, 0, {127, 0, 0, 1}}},          {1, {6, 128, 0, 0, {[15] = 1}}},
    {2, {4, 24, 0, 0, {10, 0, 0, 1}}},          {2, {6, 64, 0, 0, {0xfd, [15] = 1}}},
    {2, {6, 64, 0, 2, {0xfe, 0x80, [15] = 1}}}, {3, {4, 24, 0, 0, {10, 0, 1, 1}}},
    {3, {6, 64, 0, 0, {0xfd, 1, [15] = 1}}},    {3, {6, 64, 0, 3, {0xfe, 0x80, [15] = 2}}},
};

#define FIRST_INTERFACES (sizeof(first_interfaces) / sizeof(first_interfaces[0]))
#define FIRST_ADDRESSES  (sizeof(first_addresses) / sizeof(first_addresses[0]))

static mctx__sim_interface interfaces[MCTX__SIM_INTERFACES]; /* in order of index */
static uint32_t interface_count;
static uint64_t lives;
static mctx__sim_address addresses[MCTX__SIM_ADDRESSES];
static uint32_t address_count;
static uint32_t default_index[2];
static uint32_t capabilities[CAPABILITIES];

/* A family's life begins with the interface, or with room for the family on it, and ends with either. */
static void live(mctx__sim_interface *interface) {
  for (uint32_t i = 0; i < 2; i++) {
    const uint32_t family = i == 0 ? 4 : 6;
    if (!mctx__mtu_carries(interface->mtu, family)) {
      interface->life[i] = 0;
      mctx__sim_watch_tell(interface->index, family);
    } else if (interface->life[i] == 0) {
      interface->life[i] = ++lives;
    }
  }
}

void mctx__sim_network_reset(void) {
  memcpy(interfaces, first_interfaces, sizeof(first_interfaces));
  interface_count = FIRST_INTERFACES;
  for (uint32_t i = 0; i < FIRST_INTERFACES; i++)
    live(&interfaces[i]);
  memcpy(addresses, first_addresses, sizeof(first_addresses));
  address_count = FIRST_ADDRESSES;
  default_index[0] = default_index[1] = 2;
  for (uint32_t i = 0; i < CAPABILITIES; i++)
    capabilities[i] = MCTX_CAPABILITY_AVAILABLE;
}

/* ---- addresses ---- */

bool mctx__sim_is_unspecified(const mctx_address *address) {
  static const uint8_t zero[16];
  return memcmp(address->bytes, zero, sizeof(zero)) == 0;
}

bool mctx__sim_is_multicast(const mctx_address *address) {
  if (address->family == 4) return (address->bytes[0] & 0xf0) == 0xe0;
  return address->bytes[0] == 0xff;
}

static bool is_link_local(const mctx_address *address) {
  return address->family == 6 && address->bytes[0] == 0xfe && (address->bytes[1] & 0xc0) == 0x80;
}

bool mctx__sim_is_scoped(const mctx_address *address) {
  if (address->family != 6) return false;
  return is_link_local(address) || (address->bytes[0] == 0xff && (address->bytes[1] & 0x0f) <= 2);
}

bool mctx__sim_is_broadcast(const mctx_address *address, uint32_t index) {
  static const uint8_t everyone[4] = {255, 255, 255, 255};
  if (address->family != 4) return false;
  if (memcmp(address->bytes, everyone, sizeof(everyone)) == 0) return true;
  for (uint32_t i = 0; i < address_count; i++) {
    const mctx_address *own = &addresses[i].address;
    if (addresses[i].index != index || own->family != 4 || own->prefix > 30) continue;
    uint32_t bit = own->prefix;
    while (bit < 32 && (address->bytes[bit / 8] >> (7 - bit % 8) & 1) != 0)
      bit++;
    uint32_t same = 0;
    while (same < own->prefix && ((address->bytes[same / 8] ^ own->bytes[same / 8]) >> (7 - same % 8) & 1) == 0)
      same++;
    if (bit == 32 && same == own->prefix) return true;
  }
  return false;
}

static bool is_up(uint32_t index) {
  const mctx__sim_interface *interface = mctx__sim_interface_at(index);
  return interface != NULL && (interface->flags & MCTX_INTERFACE_UP) != 0;
}

/* An interface that is down keeps its IPv4 addresses; its IPv6 ones can't be used. */
uint32_t mctx__sim_address_owner(const mctx_address *address) {
  for (uint32_t i = 0; i < address_count; i++) {
    const mctx_address *own = &addresses[i].address;
    if (own->family != address->family || memcmp(own->bytes, address->bytes, sizeof(own->bytes)) != 0) continue;
    if (is_link_local(own) && address->scope_id != 0 && address->scope_id != own->scope_id) continue;
    if (own->family == 4 || is_up(addresses[i].index)) return addresses[i].index;
  }
  return 0;
}

/* ---- interfaces ---- */

static mctx__sim_interface *find(uint32_t index) {
  for (uint32_t i = 0; i < interface_count; i++) {
    if (interfaces[i].index == index) return &interfaces[i];
  }
  return NULL;
}

const mctx__sim_interface *mctx__sim_interface_at(uint32_t index) {
  return find(index);
}

const mctx__sim_interface *mctx__sim_interface_named(const char *name) {
  for (uint32_t i = 0; i < interface_count; i++) {
    if (strcmp(interfaces[i].name, name) == 0) return &interfaces[i];
  }
  return NULL;
}

uint64_t mctx__sim_interface_life(uint32_t index, uint32_t family) {
  const mctx__sim_interface *interface = mctx__sim_interface_at(index);
  return interface != NULL ? interface->life[family == 6] : 0;
}

mctx_status mctx__sim_interface_refusal(uint32_t index, uint32_t family) {
  const mctx__sim_interface *interface = mctx__sim_interface_at(index);
  if (interface == NULL) return MCTX_ERR_INTERFACE_NOT_FOUND;
  if (interface->life[family == 6] == 0)
    return family == 6 ? MCTX_ERR_UNSUPPORTED : MCTX_ERR_INTERFACE_NOT_FOUND;
  return interface->refusal[family == 6];
}

static void describe(const mctx__sim_interface *interface, mctx__interfaces *into) {
  mctx__interface *item = &into->items[into->count++];
  item->info.index = interface->index;
  item->info.flags = interface->flags;
  item->info.mtu = interface->mtu;
  item->info.hardware_length = 6;
  item->info.hardware[0] = 2; /* locally administered */
  item->info.hardware[5] = (uint8_t)interface->index;
  if ((interface->flags & MCTX_INTERFACE_LOOPBACK) != 0) memset(item->info.hardware, 0, 6);
  (void)snprintf(item->info.name, sizeof(item->info.name), "%s", interface->name);
  (void)snprintf(item->friendly, sizeof(item->friendly), "Simulated %s", interface->name);
  item->first_address = into->address_count;
  for (uint32_t i = 0; i < address_count; i++) {
    if (addresses[i].index == interface->index) into->addresses[into->address_count++] = addresses[i].address;
  }
  item->info.address_count = into->address_count - item->first_address;
}

mctx__result mctx__interfaces_load(mctx__interfaces *loaded) {
  mctx__interfaces result = {0};
  mctx__sim_lock();
  mctx__result outcome = mctx__sim_call(MCTX_SIM_INTERFACES);
  if (outcome.status != MCTX_OK) goto done;
  outcome = mctx__sim_error(MCTX_ERR_NO_MEMORY);
  result.items = mctx__sim_allocate((interface_count + 1) * sizeof(*result.items));
  if (result.items == NULL) goto done;
  result.addresses = mctx__sim_allocate((address_count + 1) * sizeof(*result.addresses));
  if (result.addresses == NULL) goto done;
  for (uint32_t i = 0; i < interface_count; i++)
    describe(&interfaces[i], &result);
  for (uint32_t i = 0; i < 2; i++)
    result.default_index[i] = is_up(default_index[i]) ? default_index[i] : 0;
  *loaded = result;
  outcome = MCTX__DONE;
done:
  mctx__sim_unlock();
  if (outcome.status != MCTX_OK) mctx__interfaces_free(&result);
  return outcome;
}

void mctx__interfaces_free(mctx__interfaces *loaded) {
  mctx__release(loaded->items);
  mctx__release(loaded->addresses);
  *loaded = (mctx__interfaces){0};
}

int32_t mctx_sim_interface_set(uint32_t index, const char *name, uint32_t flags, uint32_t mtu) {
  int32_t done = 0;
  mctx__sim_lock();
  uint32_t place = 0;
  while (place < interface_count && interfaces[place].index < index)
    place++;
  bool known = place < interface_count && interfaces[place].index == index;
  if (index == 0 || (!known && interface_count == MCTX__SIM_INTERFACES)) goto done;
  mctx__sim_interface *set = &interfaces[place];
  if (!known) {
    memmove(set + 1, set, (interface_count - place) * sizeof(*set));
    interface_count++;
    *set = (mctx__sim_interface){.index = index};
  }
  set->flags = flags;
  set->mtu = mtu;
  (void)snprintf(set->name, sizeof(set->name), "%s", name);
  live(set);
  mctx__sim_watch_tell(0, 0);
  done = 1;
done:
  mctx__sim_unlock();
  return done;
}

void mctx__sim_mtu_change(uint32_t index, uint32_t mtu) {
  mctx__sim_interface *changed = find(index);
  changed->mtu = mtu;
  live(changed);
  mctx__sim_watch_tell(0, 0);
}

static void remove_address(uint32_t place) {
  address_count--;
  memmove(&addresses[place], &addresses[place + 1], (address_count - place) * sizeof(addresses[0]));
}

int32_t mctx_sim_interface_remove(uint32_t index) {
  mctx__sim_lock();
  const mctx__sim_interface *found = mctx__sim_interface_at(index);
  if (found != NULL) {
    uint32_t place = (uint32_t)(found - interfaces);
    interface_count--;
    memmove(&interfaces[place], &interfaces[place + 1], (interface_count - place) * sizeof(interfaces[0]));
    for (uint32_t i = address_count; i > 0; i--) {
      if (addresses[i - 1].index == index) remove_address(i - 1);
    }
    mctx__sim_watch_tell(index, 0);
  }
  mctx__sim_unlock();
  return found != NULL;
}

int32_t mctx_sim_address_add(uint32_t index, const mctx_address *address) {
  int32_t done = 0;
  mctx__sim_lock();
  if (mctx__sim_interface_at(index) != NULL && address_count < MCTX__SIM_ADDRESSES) {
    mctx__sim_address *added = &addresses[address_count++];
    *added = (mctx__sim_address){index, *address};
    added->address.port = 0;
    added->address.scope_id = is_link_local(address) ? index : 0;
    mctx__sim_watch_tell(0, 0);
    done = 1;
  }
  mctx__sim_unlock();
  return done;
}

int32_t mctx_sim_address_remove(uint32_t index, const mctx_address *address) {
  int32_t done = 0;
  mctx__sim_lock();
  for (uint32_t i = address_count; i > 0 && !done; i--) {
    const mctx__sim_address *own = &addresses[i - 1];
    if (own->index != index || own->address.family != address->family) continue;
    if (memcmp(own->address.bytes, address->bytes, sizeof(address->bytes)) != 0) continue;
    remove_address(i - 1);
    mctx__sim_watch_tell(0, 0);
    done = 1;
  }
  mctx__sim_unlock();
  return done;
}

int32_t mctx_sim_refuse(uint32_t index, uint32_t family, mctx_status status) {
  mctx__sim_lock();
  mctx__sim_interface *found = find(index);
  if (found != NULL) found->refusal[family == 6] = status;
  mctx__sim_unlock();
  return found != NULL;
}

/* ---- routes ---- */

void mctx_sim_route_set(uint32_t family, uint32_t index) {
  mctx__sim_lock();
  default_index[family == 6] = index;
  mctx__sim_unlock();
}

/* IPv4: the interface's first address, else one borrowed from another, else 0.0.0.0. */
static void choose_source4(uint32_t index, mctx_address *source) {
  const mctx_address *borrowed = NULL;
  for (uint32_t i = 0; i < address_count; i++) {
    const mctx_address *own = &addresses[i].address;
    if (own->family != 4) continue;
    if (addresses[i].index == index) {
      borrowed = own;
      break;
    }
    if (borrowed == NULL && own->bytes[0] != 127) borrowed = own;
  }
  *source = (mctx_address){.family = 4};
  if (borrowed != NULL) memcpy(source->bytes, borrowed->bytes, sizeof(source->bytes));
}

/* IPv6: an address of the interface, link-local for a scoped group, else rather not (RFC 6724). */
static bool choose_source6(uint32_t index, bool scoped, mctx_address *source) {
  const mctx_address *best = NULL;
  for (uint32_t i = 0; i < address_count; i++) {
    const mctx_address *own = &addresses[i].address;
    if (own->family != 6 || addresses[i].index != index) continue;
    if (best == NULL || (is_link_local(own) == scoped && is_link_local(best) != scoped)) best = own;
  }
  if (best == NULL) return false;
  *source = *best;
  source->prefix = 0;
  return true;
}

static mctx__result route4(uint32_t index, const mctx_address *source, mctx_address *chosen_source,
                           uint32_t *chosen_index) {
  uint32_t owner = 0;
  if (source->family != 0) {
    owner = mctx__sim_address_owner(source);
    if (owner == 0) return mctx__sim_error(MCTX_ERR_NO_ROUTE);
  }
  if (index == 0) index = owner != 0 ? owner : default_index[0];
  if (index != 0 && mctx__sim_interface_at(index) == NULL) return mctx__sim_error(MCTX_ERR_INTERFACE_GONE);
  if (!is_up(index)) return mctx__sim_error(MCTX_ERR_NO_ROUTE);
  *chosen_source = *source;
  if (owner == 0) choose_source4(index, chosen_source);
  *chosen_index = index;
  return MCTX__DONE;
}

/* A source that is no longer local goes out all the same, as on Linux. */
static mctx__result route6(const mctx_address *destination, uint32_t index, const mctx_address *source,
                           mctx_address *chosen_source, uint32_t *chosen_index) {
  if (destination->scope_id != 0 && mctx__sim_is_scoped(destination)) index = destination->scope_id;
  if (index == 0) index = default_index[1];
  if (!is_up(index)) return mctx__sim_error(MCTX_ERR_NO_ROUTE);
  *chosen_source = *source;
  if (source->family == 0 && !choose_source6(index, mctx__sim_is_scoped(destination), chosen_source)) {
    return mctx__sim_error(MCTX_ERR_SOURCE_GONE);
  }
  *chosen_index = index;
  return MCTX__DONE;
}

mctx__result mctx__sim_route(const mctx_address *destination, uint32_t index, const mctx_address *source,
                             mctx_address *chosen_source, uint32_t *chosen_index) {
  static const mctx_address none;
  if (source->family != 0 && mctx__sim_is_unspecified(source)) source = &none;
  if (destination->family == 4) return route4(index, source, chosen_source, chosen_index);
  return route6(destination, index, source, chosen_source, chosen_index);
}

mctx__result mctx__route_lookup(const mctx_address *destination, uint32_t interface_index,
                                const mctx_address *source, mctx_address *chosen_source,
                                uint32_t *chosen_index) {
  mctx__sim_lock();
  mctx__result outcome = mctx__sim_call(MCTX_SIM_ROUTE);
  if (outcome.status == MCTX_OK) {
    outcome = mctx__sim_route(destination, interface_index, source, chosen_source, chosen_index);
  }
  mctx__sim_unlock();
  if (outcome.status == MCTX_OK) chosen_source->port = 0;
  return outcome;
}

/* ---- pacing ---- */

bool mctx__interface_paces(uint32_t index) {
  mctx__sim_lock();
  const mctx__sim_interface *found = mctx__sim_interface_at(index);
  bool paces = found != NULL && found->paces;
  mctx__sim_unlock();
  return paces;
}

int32_t mctx_sim_pacing_set(uint32_t index, int32_t paces) {
  mctx__sim_lock();
  mctx__sim_interface *found = find(index);
  if (found != NULL) found->paces = paces != 0;
  mctx__sim_unlock();
  return found != NULL;
}

/* ---- capabilities ---- */

bool mctx__sim_capable(uint32_t id) {
  return capabilities[id] == MCTX_CAPABILITY_AVAILABLE;
}

void mctx__capability_probe(uint32_t id, mctx_capability_info *info) {
  mctx__sim_lock();
  info->state = id < CAPABILITIES ? capabilities[id] : MCTX_CAPABILITY_ABSENT;
  mctx__sim_unlock();
  info->os_code = 0;
  const char *reason =
      info->state == MCTX_CAPABILITY_AVAILABLE ? "The simulated system has it." : "A test switched it off.";
  (void)snprintf(info->reason, sizeof(info->reason), "%s", reason);
}

void mctx_sim_capability_set(uint32_t id, uint32_t state) {
  mctx__sim_lock();
  if (id < CAPABILITIES) capabilities[id] = state;
  mctx__sim_unlock();
}
