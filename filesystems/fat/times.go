package fat

import (
	"time"

	"github.com/guestctl/guestctl/vfs"
)

// dosTime is the time that a date and a time of FAT mean (fatgen, "Date and
// Time Formats"), with tens of milliseconds besides, in a zone that is zone
// seconds ahead of UTC. A date of zero, or one that no calendar has, is the
// zero Time.
func dosTime(date, clock uint16, tens uint8, zone int64) vfs.Time {
	day, month, year := int(date&31), time.Month(date>>5&15), 1980+int(date>>9)
	if day == 0 || month == 0 || month > 12 {
		return vfs.Time{}
	}
	sec := int(clock&31)*2 + int(tens)/100
	t := time.Date(year, month, day, int(clock>>11), int(clock>>5&63), sec, 0, time.UTC)
	return vfs.Time{Sec: t.Unix() - zone, Nsec: uint32(tens%100) * 10_000_000}
}

// exTime is an exFAT timestamp (exFAT 7.4.8 to 7.4.10): date above, time below,
// and its own distance from UTC in quarters of an hour where bit 7 of zone is
// set, else the volume's.
func exTime(stamp uint32, tens, zone uint8, local int64) vfs.Time {
	if zone&0x80 != 0 {
		local = int64(int8(zone<<1)>>1) * 15 * 60
	}
	return dosTime(uint16(stamp>>16), uint16(stamp), tens, local)
}
