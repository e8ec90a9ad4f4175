package mbr

import "encoding/binary"

// The master boot record, and each extended boot record.
//
//	  0  boot code
//	440  disk signature    4
//	446  four entries     64
//	510  0x55 0xAA         2
type record []byte

const recordSize = 512

func (r record) signed() bool      { return r[510] == 0x55 && r[511] == 0xAA }
func (r record) diskID() uint32    { return binary.LittleEndian.Uint32(r[440:]) }
func (r record) entry(i int) entry { return entry(r[446+i*entrySize:][:entrySize]) }

// An entry of a record.
//
//	 0  boot indicator     1  0x80: active, 0x00: not
//	 1  CHS of the start   3  not used here
//	 4  type               1
//	 5  CHS of the end     3  not used here
//	 8  first sector       4  relative: to the disk in the MBR, to the EBR or the extended partition in an EBR
//	12  sectors            4
type entry []byte

const entrySize = 16

func (e entry) bootIndicator() byte { return e[0] }
func (e entry) kind() byte          { return e[4] }
func (e entry) start() int64        { return int64(binary.LittleEndian.Uint32(e[8:])) }
func (e entry) sectors() int64      { return int64(binary.LittleEndian.Uint32(e[12:])) }

// Types of an entry that mean something to this package.
const (
	kindExtended      = 0x05
	kindExtendedLBA   = 0x0F
	kindExtendedLinux = 0x85
	kindProtective    = 0xEE
)

func (e entry) extended() bool {
	switch e.kind() {
	case kindExtended, kindExtendedLBA, kindExtendedLinux:
		return true
	}
	return false
}
