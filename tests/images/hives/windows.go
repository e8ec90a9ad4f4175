package hives

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
)

// A Windows is a version of Windows as a test wants it.
type Windows struct {
	Name      string // ProductName
	Type      string // InstallationType; "" leaves it out
	Version   string // CurrentVersion: "6.1"
	Numbers   bool   // CurrentMajorVersionNumber and CurrentMinorVersionNumber are 10 and 0
	Build     string
	Display   string // DisplayVersion
	Drives    string // lines of MountedDevices
	Software  string // more of SOFTWARE
	System    string // more of SYSTEM
	SystemDir string // "Windows"; "WINDOWS" for XP
}

// Hives are the files of such a guest, by path: hives by hivexregedit, with what
// each Windows has in them, and a cmd.exe of x86_64.
func (w *Windows) Hives(t testing.TB) map[string][]byte {
	t.Helper()
	var s strings.Builder
	fmt.Fprintf(&s, "[\\Microsoft\\Windows NT\\CurrentVersion]\n\"ProductName\"=%q\n\"CurrentVersion\"=%q\n\"CurrentBuildNumber\"=%q\n\"SystemRoot\"=\"C:\\\\Windows\"\n", w.Name, w.Version, w.Build)
	if w.Type != "" {
		fmt.Fprintf(&s, "\"InstallationType\"=%q\n", w.Type)
	}
	if w.Numbers {
		s.WriteString("\"CurrentMajorVersionNumber\"=dword:0000000a\n\"CurrentMinorVersionNumber\"=dword:00000000\n\"UBR\"=dword:00000a9b\n")
	}
	if w.Display != "" {
		fmt.Fprintf(&s, "\"DisplayVersion\"=%q\n", w.Display)
	}
	s.WriteString("\n" + w.Software)
	system := "[\\Select]\n\"Current\"=dword:00000001\n\"Default\"=dword:00000001\n\n[\\ControlSet001\\Services\\Tcpip\\Parameters]\n\"Hostname\"=\"win-guest\"\n\n" +
		"[\\ControlSet001\\Control\\TimeZoneInformation]\n\"TimeZoneKeyName\"=\"W. Europe Standard Time\"\n\n[\\MountedDevices]\n" + w.Drives + "\n" + w.System
	dir := w.SystemDir
	if dir == "" {
		dir = "Windows"
	}
	return map[string][]byte{
		"/" + dir + "/System32/config/SOFTWARE": Make(t, s.String()),
		"/" + dir + "/System32/config/SYSTEM":   Make(t, system),
		"/" + dir + "/System32/cmd.exe":         Program(),
	}
}

// Program is the head of a program for x86_64.
func Program() []byte {
	b := make([]byte, 512)
	copy(b, "MZ")
	b[0x3c] = 0x80
	copy(b[0x80:], "PE\x00\x00\x64\x86")
	return b
}

// MBRDrive is a line of MountedDevices for a partition of an MBR.
func MBRDrive(letter string, signature uint32, off int64) string {
	b := binary.LittleEndian.AppendUint32(nil, signature)
	return drive(letter, binary.LittleEndian.AppendUint64(b, uint64(off)))
}

// GPTDrive is the same for one of a GPT; guid is as Windows stores it.
func GPTDrive(letter string, guid [16]byte) string {
	return drive(letter, append([]byte("DMIO:ID:"), guid[:]...))
}

func drive(letter string, data []byte) string {
	return fmt.Sprintf("\"\\\\DosDevices\\\\%s:\"=hex:%s\n", letter, Bytes(data))
}

// Bytes are data as .reg files have them.
func Bytes(b []byte) string {
	s := make([]string, len(b))
	for i, c := range b {
		s[i] = fmt.Sprintf("%02x", c)
	}
	return strings.Join(s, ",")
}
