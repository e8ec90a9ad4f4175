package args

// Reorder writes argv, without the program's name, with its options in front:
// each as "--name" or "--name=value" under its first name, then "--", then the
// positional arguments. Options keep their order among themselves, and so do
// arguments. Its errors are *UsageError.
func Reorder(flags []Flag, argv []string) ([]string, error) {
	line, err := Parse(flags, argv)
	if err != nil {
		return nil, err
	}
	out := make([]string, 0, len(argv)+1)
	for _, o := range line.Options {
		s := "--" + o.Name
		if o.Given {
			s += "=" + o.Value
		}
		out = append(out, s)
	}
	out = append(out, "--")
	return append(out, line.Args...), nil
}
