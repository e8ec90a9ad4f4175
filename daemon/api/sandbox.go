package api

// Sandbox is what keeps the process that parses images from doing anything
// else.
type Sandbox struct {
	Mode            string   `json:"mode" enum:"require,auto,off" doc:"what was asked for"`
	Landlock        int      `json:"landlock" doc:"version of the kernel's Landlock that is in force; 0 is none"`
	Seccomp         bool     `json:"seccomp" doc:"only the system calls of a list are answered"`
	NoNewPrivileges bool     `json:"no_new_privileges"`
	Capabilities    string   `json:"capabilities,omitempty" doc:"none, or absent where they were not dropped"`
	Memory          int64    `json:"memory_bytes" doc:"limit of memory; 0 is none"`
	Missing         []string `json:"missing" doc:"what this host does not have, and why"`
}
