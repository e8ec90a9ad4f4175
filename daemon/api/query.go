package api

import (
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"strings"
)

// Query writes a struct with query tags, such as ListQuery, as a query. What
// is zero is left out.
func Query(v any) url.Values {
	q := url.Values{}
	each(reflect.Indirect(reflect.ValueOf(v)), func(name, deflt string, f reflect.Value) error {
		switch f.Kind() {
		case reflect.Slice:
			for i := range f.Len() {
				q.Add(name, f.Index(i).String())
			}
		case reflect.Bool:
			if f.Bool() {
				q.Set(name, "true")
			}
		default:
			// A zero is left out only where it is what leaving out means.
			if s := fmt.Sprint(f.Interface()); !f.IsZero() || deflt != "" && f.Kind() == reflect.Int {
				q.Set(name, s)
			}
		}
		return nil
	})
	return q
}

// FromQuery fills a struct with query tags; what is not there has its default.
func FromQuery(q url.Values, v any) error {
	return each(reflect.ValueOf(v).Elem(), func(name, deflt string, f reflect.Value) error {
		if f.Kind() == reflect.Slice {
			f.Set(reflect.ValueOf(q[name]))
			return nil
		}
		s := deflt
		if q.Has(name) {
			s = q.Get(name)
		}
		if s == "" {
			return nil
		}
		var err error
		switch f.Kind() {
		case reflect.String:
			f.SetString(s)
		case reflect.Bool:
			var b bool
			b, err = strconv.ParseBool(s)
			f.SetBool(b)
		case reflect.Int:
			var n int64
			n, err = strconv.ParseInt(s, 10, 64)
			f.SetInt(n)
		case reflect.Uint64:
			var n uint64
			n, err = strconv.ParseUint(s, 10, 64)
			f.SetUint(n)
		}
		if err != nil {
			return fmt.Errorf("%s: %q is no %s", name, s, f.Kind())
		}
		return nil
	})
}

// Known names the query parameters that a struct has.
func Known(v any) []string {
	var names []string
	_ = each(reflect.Indirect(reflect.ValueOf(v)), func(name, _ string, _ reflect.Value) error {
		names = append(names, name)
		return nil
	})
	return names
}

func each(v reflect.Value, do func(name, deflt string, f reflect.Value) error) error {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if field.Anonymous {
			if err := each(v.Field(i), do); err != nil {
				return err
			}
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("query"), ",")
		if name == "" {
			continue
		}
		if err := do(name, field.Tag.Get("default"), v.Field(i)); err != nil {
			return err
		}
	}
	return nil
}
