// Package hive reads hives of the Windows registry: files of the format regf,
// with what stands in their transaction logs.
//
// # Terms
//
// They are those of the "Windows registry file format specification" by Maxim
// Suhanov (github.com/msuhanov/regf), which this package follows:
//
//   - The base block is the first 4096 bytes, the hive bins data what follows. An
//     offset is one in the hive bins data.
//   - A cell is a record with its size before it: a key node, a list of subkeys or
//     values, a value, data.
//   - A hive is dirty where the two sequence numbers of its base block differ, or
//     the block's checksum is wrong: Windows stopped before what it had logged was
//     in the primary file.
//
// # Transaction logs
//
// The logs of a dirty hive are replayed in memory, as Windows does when it
// loads the hive; what they hold stands before the primary file's pages. Of
// the format up to Windows 8 (a bitmap of dirty pages) the first log is taken
// whose time of writing is the hive's (of a hive with a damaged base block, else
// the newest). Of the newer one (log entries) both logs
// are, the one with the earlier entries first, up to the first entry that has a
// wrong hash or does not follow the one before. Where the base block is damaged,
// the log's stands for it; where no log has one, the hive is refused.
//
// A dirty hive without a log that can be applied is read as it is.
//
// # Refused
//
// Hives of Windows NT 3.1 (version 1.1 and older, whose cells differ) by name.
// The security of keys is not read, nor are the layers of differencing hives of
// containers: a tombstone is left out, and nothing below shows through.
//
// # Hostile hives
//
// Every offset and size is compared before use. A cell lies in the hive, a value
// has at most MaxValue bytes, a key at most maxSubkeys subkeys and as many values.
// A subkey names its parent; one that names another is damage, as is a key that a
// walk meets twice, so that no walk is endless. What is read is held in a cache of
// at most maxCache bytes.
//
// # Proof
//
// hivexml is the oracle on hives that hivexregedit writes. Its hives have neither
// logs nor big data; those are compared with what Windows 7 and Windows 10 made
// of the dirty hives in the tests of github.com/msuhanov/yarp (TestRealHives),
// and the tests write both formats of logs by the layout here.
//
// This package imports ondisk only and may change. A Hive is for one goroutine.
package hive
