/* SPDX-License-Identifier: GPL-2.0-only */
/* Trace points of the channel, the mappings and the lease path. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM ntb_lend

#if !defined(LEND_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define LEND_TRACE_H

#include <linux/tracepoint.h>

#include "compat.h"

TRACE_EVENT(lend_call,
	TP_PROTO(u32 link, u8 op, u32 handle, u32 arg, u64 ns, int ret),
	TP_ARGS(link, op, handle, arg, ns, ret),
	TP_STRUCT__entry(
		__field(u32, link)
		__field(u8, op)
		__field(u32, handle)
		__field(u32, arg)
		__field(u64, ns)
		__field(int, ret)
	),
	TP_fast_assign(
		__entry->link = link;
		__entry->op = op;
		__entry->handle = handle;
		__entry->arg = arg;
		__entry->ns = ns;
		__entry->ret = ret;
	),
	TP_printk("link=%u op=%u handle=%u arg=0x%x ns=%llu ret=%d",
		  __entry->link, __entry->op, __entry->handle, __entry->arg,
		  __entry->ns, __entry->ret)
);

TRACE_EVENT(lend_serve,
	TP_PROTO(u32 link, u8 op, u32 handle, u32 arg, u32 status),
	TP_ARGS(link, op, handle, arg, status),
	TP_STRUCT__entry(
		__field(u32, link)
		__field(u8, op)
		__field(u32, handle)
		__field(u32, arg)
		__field(u32, status)
	),
	TP_fast_assign(
		__entry->link = link;
		__entry->op = op;
		__entry->handle = handle;
		__entry->arg = arg;
		__entry->status = status;
	),
	TP_printk("link=%u op=%u handle=%u arg=0x%x status=%u",
		  __entry->link, __entry->op, __entry->handle, __entry->arg,
		  __entry->status)
);

TRACE_EVENT(lend_link_state,
	TP_PROTO(u32 link, int state, u64 epoch, u64 peer_epoch),
	TP_ARGS(link, state, epoch, peer_epoch),
	TP_STRUCT__entry(
		__field(u32, link)
		__field(int, state)
		__field(u64, epoch)
		__field(u64, peer_epoch)
	),
	TP_fast_assign(
		__entry->link = link;
		__entry->state = state;
		__entry->epoch = epoch;
		__entry->peer_epoch = peer_epoch;
	),
	TP_printk("link=%u state=%d epoch=%llx peer_epoch=%llx",
		  __entry->link, __entry->state, __entry->epoch,
		  __entry->peer_epoch)
);

TRACE_EVENT(lend_lease,
	TP_PROTO(const char *device, u32 link, u64 epoch, const char *what, int ret),
	TP_ARGS(device, link, epoch, what, ret),
	TP_STRUCT__entry(
		__string(device, device)
		__field(u32, link)
		__field(u64, epoch)
		__string(what, what)
		__field(int, ret)
	),
	TP_fast_assign(
		LEND_ASSIGN_STR(device);
		__entry->link = link;
		__entry->epoch = epoch;
		LEND_ASSIGN_STR(what);
		__entry->ret = ret;
	),
	TP_printk("device=%s link=%u epoch=%llu %s ret=%d",
		  __get_str(device), __entry->link, __entry->epoch,
		  __get_str(what), __entry->ret)
);

TRACE_EVENT(lend_map,
	TP_PROTO(u32 borrowed, u64 addr, size_t size, int dir, bool map),
	TP_ARGS(borrowed, addr, size, dir, map),
	TP_STRUCT__entry(
		__field(u32, borrowed)
		__field(u64, addr)
		__field(size_t, size)
		__field(int, dir)
		__field(bool, map)
	),
	TP_fast_assign(
		__entry->borrowed = borrowed;
		__entry->addr = addr;
		__entry->size = size;
		__entry->dir = dir;
		__entry->map = map;
	),
	TP_printk("borrowed=%u %s addr=0x%llx size=%zu dir=%d",
		  __entry->borrowed, __entry->map ? "map" : "unmap",
		  __entry->addr, __entry->size, __entry->dir)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
