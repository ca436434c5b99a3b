/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Compile once, run everywhere: questions about types that are answered when the program
 * is loaded, from the BTF of where it will run. Each macro is a clang builtin that leaves a
 * relocation in .BTF.ext.
 *
 * In local names of types a suffix of three underscores and anything (`task___old`) is ignored when
 * the loader looks for the type.
 */
#ifndef BACKSTOP_CORE_H
#define BACKSTOP_CORE_H

#include "bpf.h"

/* On a struct or union: each access to its fields is adjusted at load. */
#define __core __attribute__((preserve_access_index))

/* The relocation kinds, as the builtins take them. */
enum backstop_field_info {
	BACKSTOP_FIELD_BYTE_OFFSET = 0,
	BACKSTOP_FIELD_BYTE_SIZE = 1,
	BACKSTOP_FIELD_EXISTS = 2,
	BACKSTOP_FIELD_SIGNED = 3,
	BACKSTOP_FIELD_LSHIFT_U64 = 4,
	BACKSTOP_FIELD_RSHIFT_U64 = 5,
};

enum backstop_type_id_info { BACKSTOP_TYPE_ID_LOCAL = 0, BACKSTOP_TYPE_ID_TARGET = 1 };
enum backstop_type_info { BACKSTOP_TYPE_EXISTS = 0, BACKSTOP_TYPE_SIZE = 1, BACKSTOP_TYPE_MATCHES = 2 };
enum backstop_enum_info { BACKSTOP_ENUM_VALUE_EXISTS = 0, BACKSTOP_ENUM_VALUE = 1 };

/* `field` is an access such as `p->a.b[2]`; a type's field is asked for as `((struct t *)0)->f`. */
#define bpf_core_field_offset(field) __builtin_preserve_field_info(field, BACKSTOP_FIELD_BYTE_OFFSET)
#define bpf_core_field_size(field) __builtin_preserve_field_info(field, BACKSTOP_FIELD_BYTE_SIZE)
#define bpf_core_field_exists(field) __builtin_preserve_field_info(field, BACKSTOP_FIELD_EXISTS)
#define bpf_core_field_signed(field) __builtin_preserve_field_info(field, BACKSTOP_FIELD_SIGNED)

#define bpf_core_type_exists(type) \
	__builtin_preserve_type_info(*(__typeof__(type) *)0, BACKSTOP_TYPE_EXISTS)
#define bpf_core_type_size(type) \
	__builtin_preserve_type_info(*(__typeof__(type) *)0, BACKSTOP_TYPE_SIZE)
#define bpf_core_type_matches(type) \
	__builtin_preserve_type_info(*(__typeof__(type) *)0, BACKSTOP_TYPE_MATCHES)
#define bpf_core_type_id_local(type) \
	__builtin_btf_type_id(*(__typeof__(type) *)0, BACKSTOP_TYPE_ID_LOCAL)
#define bpf_core_type_id_kernel(type) \
	__builtin_btf_type_id(*(__typeof__(type) *)0, BACKSTOP_TYPE_ID_TARGET)

#define bpf_core_enum_value_exists(type, value) \
	__builtin_preserve_enum_value(*(__typeof__(type) *)value, BACKSTOP_ENUM_VALUE_EXISTS)
#define bpf_core_enum_value(type, value) \
	__builtin_preserve_enum_value(*(__typeof__(type) *)value, BACKSTOP_ENUM_VALUE)

/*
 * A bit-field of an object that may be read directly: load the bytes that hold it, shift it
 * up against bit 63 and back down, with its sign.
 */
#define bpf_core_bitfield(object, field)                                                            \
	({                                                                                          \
		const void *backstop_at = (const void *)(object) +                                  \
			__builtin_preserve_field_info((object)->field, BACKSTOP_FIELD_BYTE_OFFSET); \
		unsigned long long backstop_bits = 0;                                               \
		bpf_hide(backstop_at);                                                              \
		switch (__builtin_preserve_field_info((object)->field, BACKSTOP_FIELD_BYTE_SIZE)) { \
		case 1:                                                                             \
			backstop_bits = *(const __u8 *)backstop_at;                                 \
			break;                                                                      \
		case 2:                                                                             \
			backstop_bits = *(const __u16 *)backstop_at;                                \
			break;                                                                      \
		case 4:                                                                             \
			backstop_bits = *(const __u32 *)backstop_at;                                \
			break;                                                                      \
		case 8:                                                                             \
			backstop_bits = *(const __u64 *)backstop_at;                                \
			break;                                                                      \
		}                                                                                   \
		backstop_bits <<=                                                                   \
			__builtin_preserve_field_info((object)->field, BACKSTOP_FIELD_LSHIFT_U64);  \
		__builtin_preserve_field_info((object)->field, BACKSTOP_FIELD_SIGNED)               \
			? (unsigned long long)((long long)backstop_bits >>                          \
				__builtin_preserve_field_info((object)->field,                      \
							      BACKSTOP_FIELD_RSHIFT_U64))           \
			: backstop_bits >> __builtin_preserve_field_info((object)->field,           \
									 BACKSTOP_FIELD_RSHIFT_U64); \
	})

#endif
