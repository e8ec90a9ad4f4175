package vhdx_test

import (
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"slices"
	"strings"
	"unicode/utf16"
)

const mb = 1 << 20

var le = binary.LittleEndian

// build is a VHDX file made from the layout: a log at 1 MiB, metadata at
// 2 MiB, the BAT at 3 MiB, blocks of 1 MiB behind it.
type build struct {
	disk    []byte
	sector  int
	present func(sector int) bool // differencing: what is in this file
	locator map[string]string     // differencing
	fixed   bool
	data    string // DataWriteGuid
}

func guidBytes(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil {
		panic(err)
	}
	b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7] = b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6]
	return b
}

// seal puts the CRC-32C of b at 4.
func seal(b []byte) {
	le.PutUint32(b[4:], 0)
	le.PutUint32(b[4:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

func header(sequence uint64, data, log string) []byte {
	b := make([]byte, 4096)
	copy(b, "head")
	le.PutUint64(b[8:], sequence)
	copy(b[16:], guidBytes("11111111-2222-3333-4444-555555555555"))
	copy(b[32:], guidBytes(data))
	copy(b[48:], guidBytes(log))
	le.PutUint16(b[66:], 1)
	le.PutUint32(b[68:], mb)
	le.PutUint64(b[72:], mb)
	seal(b)
	return b
}

const (
	noGUID   = "00000000-0000-0000-0000-000000000000"
	logID    = "01020304-0506-0708-090a-0b0c0d0e0f10"
	dataGUID = "aabbccdd-1122-3344-5566-778899aabbcc"
)

func utf16le(s string) (b []byte) {
	for _, u := range utf16.Encode([]rune(s)) {
		b = le.AppendUint16(b, u)
	}
	return b
}

func locator(m map[string]string) []byte {
	b := make([]byte, 20+12*len(m))
	copy(b, guidBytes("b04aefb7-d19e-4a81-b789-25b8e9445913"))
	le.PutUint16(b[18:], uint16(len(m)))
	i := 0
	for k, v := range m {
		e := 20 + 12*i
		key, value := utf16le(k), utf16le(v)
		le.PutUint32(b[e:], uint32(len(b)))
		le.PutUint16(b[e+8:], uint16(len(key)))
		b = slices.Concat(b, key)
		le.PutUint32(b[e+4:], uint32(len(b)))
		le.PutUint16(b[e+10:], uint16(len(value)))
		b = slices.Concat(b, value)
		i++
	}
	return b
}

func (v build) bytes() []byte {
	if v.sector == 0 {
		v.sector = 512
	}
	if v.data == "" {
		v.data = dataGUID
	}
	f := make([]byte, 4*mb)
	copy(f, "vhdxfile")
	copy(f[64<<10:], header(6, v.data, noGUID))
	copy(f[128<<10:], header(5, v.data, noGUID))
	regions := make([]byte, 64<<10)
	copy(regions, "regi")
	le.PutUint32(regions[8:], 2)
	for i, id := range []string{"2dc27766-f623-4200-9d64-115e9bfd4a08", "8b7ca206-4790-4b9a-b8fe-575f050f886e"} {
		e := regions[16+32*i:]
		copy(e, guidBytes(id))
		le.PutUint64(e[16:], uint64(3-i)*mb)
		le.PutUint32(e[24:], mb)
		le.PutUint32(e[28:], 1)
	}
	seal(regions)
	copy(f[192<<10:], regions)
	copy(f[256<<10:], regions)

	meta := f[2*mb : 3*mb]
	copy(meta, "metadata")
	at, n := 64<<10, 0
	item := func(id string, flags uint32, b []byte) {
		e := meta[32+32*n:]
		copy(e, guidBytes(id))
		le.PutUint32(e[16:], uint32(at))
		le.PutUint32(e[20:], uint32(len(b)))
		le.PutUint32(e[24:], flags)
		copy(meta[at:], b)
		at, n = at+len(b), n+1
		le.PutUint16(meta[10:], uint16(n))
	}
	flags := uint32(0)
	if v.fixed {
		flags |= 1
	}
	if v.locator != nil {
		flags |= 2
	}
	item("caa16737-fa36-4d43-b3b6-33f0aa44e76b", 4, le.AppendUint32(le.AppendUint32(nil, mb), flags))
	item("2fa54224-cd1b-4876-b211-5dbed83bf4b8", 6, le.AppendUint64(nil, uint64(len(v.disk))))
	item("beca12ab-b2e6-4523-93ef-c309e000c746", 6, make([]byte, 16))
	item("8141bf1d-a96f-4709-ba47-f233a8faab5f", 6, le.AppendUint32(nil, uint32(v.sector)))
	item("cda348c7-445d-4471-9cc9-e9885251c556", 6, le.AppendUint32(nil, 4096))
	if v.locator != nil {
		item("a8d35f2d-b30b-454d-abf7-d3d84834ab0c", 4, locator(v.locator))
	}

	// Blocks are written last to first, so that no neighbours are.
	ratio := (1 << 23) * v.sector / mb
	blocks := (len(v.disk) + mb - 1) / mb
	bitmap := -1
	add := func() int {
		f = slices.Concat(f, make([]byte, mb))
		return len(f) - mb
	}
	entry := func(i int, x uint64) { le.PutUint64(f[3*mb+8*i:], x) }
	for i := blocks - 1; i >= 0; i-- {
		part := v.disk[i*mb : min(len(v.disk), (i+1)*mb)]
		all, none := true, true
		for s := 0; v.present != nil && s*v.sector < len(part); s++ {
			if v.present(i*mb/v.sector + s) {
				none = false
			} else {
				all = false
			}
		}
		index := i + i/ratio
		zero := len(strings.Trim(string(part), "\x00")) == 0
		switch {
		case v.present == nil && zero && !v.fixed:
			entry(index, uint64(i%4)) // not present, undefined, zero, unmapped
			continue
		case v.present != nil && none:
			continue
		case v.present != nil && all && zero:
			entry(index, 2)
			continue
		}
		state := 6
		if v.present != nil && !all {
			state = 7
			if bitmap < 0 {
				bitmap = add()
				entry(ratio, uint64(bitmap)|6)
			}
			for s := 0; s*v.sector < len(part); s++ {
				if n := i*mb/v.sector + s; v.present(n) {
					f[bitmap+n/8] |= 1 << (n % 8)
				}
			}
		}
		host := add()
		entry(index, uint64(host)|uint64(state))
		copy(f[host:], part)
		for s := 0; v.present != nil && s*v.sector < len(part); s++ {
			if !v.present(i*mb/v.sector + s) {
				copy(f[host+s*v.sector:host+(s+1)*v.sector], strings.Repeat("x", v.sector)) // not to be read
			}
		}
	}
	return f
}

// change is one descriptor of a log entry: zeros where there is no data.
type change struct {
	off  int
	data []byte
	zero int
}

// logEntry is an entry of the log.
func logEntry(sequence uint64, tail int, flushed, last int, changes ...change) []byte {
	n := (64 + 32*len(changes) + 4095) / 4096 * 4096
	b := make([]byte, n)
	copy(b, "loge")
	le.PutUint32(b[12:], uint32(tail))
	le.PutUint64(b[16:], sequence)
	le.PutUint32(b[24:], uint32(len(changes)))
	copy(b[32:], guidBytes(logID))
	le.PutUint64(b[48:], uint64(flushed))
	le.PutUint64(b[56:], uint64(last))
	for i, c := range changes {
		d := b[64+32*i:][:32]
		le.PutUint64(d[16:], uint64(c.off))
		le.PutUint64(d[24:], sequence)
		if c.data == nil {
			copy(d, "zero")
			le.PutUint64(d[8:], uint64(c.zero))
			continue
		}
		copy(d, "desc")
		copy(d[4:8], c.data[4092:])
		copy(d[8:16], c.data)
		s := make([]byte, 4096)
		copy(s, c.data)
		copy(s, "data")
		le.PutUint32(s[4:], uint32(sequence>>32))
		le.PutUint32(s[4092:], uint32(sequence))
		b = slices.Concat(b, s)
	}
	le.PutUint32(b[8:], uint32(len(b)))
	seal(b)
	return b
}

// putLog puts an entry at off of the log, around its end where it must.
func putLog(f []byte, off int, entry []byte) (next int) {
	log := f[mb : 2*mb]
	n := copy(log[off:], entry)
	copy(log, entry[n:])
	return (off + len(entry)) % len(log)
}
