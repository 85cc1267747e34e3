package footer_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// largeHostile makes the hostile files that are only large. The first four are
// byte for byte those that belong to the files in testdata.
func largeHostile() map[string][]byte {
	x := []object{root(1), leaf("x", int64s, opt)}
	sound := metadataOf(x...)
	return map[string][]byte{
		"f19_rowgroups_1000000_stop": file("", sound.set(4, raw{9, append(listHead(12, 1_000_000), make([]byte, 1_000_000)...)}).encode()),
		"f21_deep_struct_1000000":    file("", deepStructs(sound, 1_000_000)),
		"f77_name_1MB":               file("", metadataOf(root(1), leaf(strings.Repeat("a", 1_000_000), int64s, opt)).encode()),
		"f78_cols_65534":             file("", wide(65_534)),

		"nested_lists_16M":        file("", deepLists(sound, 16_000_000)),
		"nested_structs_16M":      file("", deepStructs(sound, 16_000_000)),
		"many_row_groups":         file("", sound.set(4, raw{9, append(listHead(12, 1<<20+1), make([]byte, 1<<20+1)...)}).encode()),
		"names_5MB":               file("", manyNames(5_000, 1_000)),
		"groups_claim_too_much":   file("", claimingGroups(64, 19_000)),
		"strings_of_nothing":      file("", sound.set(5, raw{9, append(listHead(12, 2_000_000), make([]byte, 2_000_000)...)}).encode()),
		"key_values_2G":           file("", sound.set(5, raw{9, listHead(12, 1<<31-1)}).encode()),
		"repeated_groups_64_deep": file("", repeatedGroups(63)),
		"wide_20000":              file("", wide(19_999)),
		// Nothing but structs without fields where the schema should be.
		"footer_of_empty_structs_8MB": file("", sound.set(2, raw{9, append(listHead(12, 19_999), make([]byte, 8<<20)...)}).encode()),
	}
}

// deepStructs has a field that no format knows, with structs nested n deep.
func deepStructs(sound object, n int) []byte {
	return sound.set(20, raw{12, append(bytes.Repeat([]byte{0x1c}, n), make([]byte, n+1)...)}).encode()
}

// deepLists is the same with lists of one list.
func deepLists(sound object, n int) []byte {
	return sound.set(20, raw{9, append(bytes.Repeat([]byte{0x19}, n), 0x05)}).encode()
}

// wide has n columns of 64-bit integers in one row group.
func wide(n int) []byte {
	elements, chunks := []object{{{4, "r"}, {5, int32(n)}}}, make([]object, n)
	for i := range n {
		name := fmt.Sprintf("c%d", i)
		elements = append(elements, leaf(name, int64s, opt))
		chunks[i] = object{{2, int64(0)}, {3, columnMetadata(0).set(3, []string{name}).set(5, int64(0))}}
	}
	return metadataOf(elements...).set(4, []object{{{1, chunks}, {2, int64(0)}, {3, int64(0)}}}).encode()
}

// manyNames has n columns whose names have so many bytes each.
func manyNames(n, size int) []byte {
	elements := []object{root(int32(n))}
	for i := range n {
		elements = append(elements, leaf(fmt.Sprintf("%0*d", size, i), int64s, opt))
	}
	return metadataOf(elements...).encode()
}

// claimingGroups nests groups that each claim nearly all elements as their own.
func claimingGroups(depth int, claim int32) []byte {
	elements := []object{root(claim)}
	for range depth {
		elements = append(elements, groupOf("g", opt, claim))
	}
	for len(elements) < 19_999 {
		elements = append(elements, leaf("x", int64s, opt))
	}
	return metadataOf(elements...).encode()
}

// repeatedGroups nests lists in the oldest form, which make two logical levels
// of each level in the file.
func repeatedGroups(depth int) []byte {
	elements := []object{root(1)}
	for range depth {
		elements = append(elements, groupOf("g", rep, 1))
	}
	return metadataOf(append(elements, leaf("x", int64s, rep))...).encode()
}

// length replaces the footer's length in a file.
func length(content []byte, n uint32) []byte {
	content = bytes.Clone(content)
	binary.LittleEndian.PutUint32(content[len(content)-8:], n)
	return content
}
