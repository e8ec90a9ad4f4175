package inspect

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/guestctl/guestctl/daemon/inspect/look"
)

// A fact is a cleaned string and where it is from.
type fact struct{ value, source string }

func factOf(value, source string) fact {
	if value = look.Clean(value); value == "" {
		return fact{}
	}
	return fact{value, source}
}

// keep sets f where it has no value yet.
func (f *fact) keep(value, source string) {
	if f.value == "" {
		*f = factOf(value, source)
	}
}

// An identity is what a system calls itself.
type identity struct {
	distro   fact
	product  fact
	variant  fact
	version  fact // as written
	codename fact
	buildID  fact
	arch     fact
	osName   fact // NAME of os-release
	like     string

	major, minor int
	numbers      string // source of major and minor
}

// number takes the numbers of a version: "12.5", "release 7.9.2009".
func (id *identity) number(text, source string) bool {
	m := versionNumbers.FindStringSubmatch(text)
	if m == nil {
		return false
	}
	id.setNumbers(m[1], m[2], source)
	return true
}

func (id *identity) setNumbers(major, minor, source string) {
	// Numbers too large for an int32 are no version.
	a, err := strconv.ParseInt(major, 10, 32)
	b, err2 := strconv.ParseInt("0"+minor, 10, 32)
	if err == nil && err2 == nil {
		id.major, id.minor, id.numbers = int(a), int(b), source
	}
}

var versionNumbers = regexp.MustCompile(`([0-9]+)(?:\.([0-9]+))?`)

// name is the system's name for people, "" where nothing is known.
func (id *identity) name() string {
	if id.product.value != "" {
		return id.product.value
	}
	if id.osName.value != "" {
		return strings.TrimSpace(id.osName.value + " " + id.version.value)
	}
	return strings.TrimSpace(id.distro.value + " " + id.version.value)
}
