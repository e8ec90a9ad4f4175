package api

// RegistrySchema names the shape of RegistryKey.
const RegistrySchema = "guestctl.registry/1"

// RegistryKey is a key of the registry of a Windows guest. Strings are as they
// are stored, with U+FFFD for what is no character.
type RegistryKey struct {
	Schema  string          `json:"schema"`            // RegistrySchema
	Key     string          `json:"key"`               // from the root's long name: "HKEY_LOCAL_MACHINE\SOFTWARE"
	Class   string          `json:"class,omitempty"`   // class name, which few keys have
	Written string          `json:"written,omitempty"` // when it was changed last, RFC 3339
	Values  []RegistryValue `json:"values"`
	Subkeys []string        `json:"subkeys"`           // names
	Source  string          `json:"source,omitempty"`  // the hive's file in the guest
	Problem string          `json:"problem,omitempty"` // what of it is damaged and left out
}

// RegistryValue is a value of a key. Data has all of it; Text, Texts or Number
// say the same for types that have them.
type RegistryValue struct {
	Name   string   `json:"name"` // "" is the default value
	Type   string   `json:"type"` // "REG_SZ", "REG_DWORD", ...; a type without a name: "0x1234"
	Text   *string  `json:"text,omitempty"`
	Texts  []string `json:"texts,omitempty"`
	Number *uint64  `json:"number,omitempty"`
	Data   []byte   `json:"data"` // base64
}
