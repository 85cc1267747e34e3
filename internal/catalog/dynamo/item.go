package dynamo

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// item is an item of the table.
type item map[string]types.AttributeValue

func text(s string) types.AttributeValue   { return &types.AttributeValueMemberS{Value: s} }
func binary(b []byte) types.AttributeValue { return &types.AttributeValueMemberB{Value: b} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

func moment(t time.Time) types.AttributeValue { return text(t.UTC().Format(time.RFC3339Nano)) }

func texts[T ~string](list []T) types.AttributeValue {
	values := make([]types.AttributeValue, len(list))
	for i, s := range list {
		values[i] = text(string(s))
	}
	return &types.AttributeValueMemberL{Value: values}
}

// key is an item's primary key.
func key(partition, sort string) item { return item{pk: text(partition), sk: text(sort)} }

// fields reads an item's attributes and keeps the first thing that was wrong
// with them. An attribute that is not there reads as zero.
type fields struct {
	item item
	err  error
}

func (f *fields) fail(name string) {
	if f.err == nil {
		f.err = fmt.Errorf("the attribute %s of a catalog item is a %T", name, f.item[name])
	}
}

func (f *fields) has(name string) bool { return f.item[name] != nil }

func (f *fields) text(name string) string {
	if !f.has(name) {
		return ""
	}
	v, ok := f.item[name].(*types.AttributeValueMemberS)
	if !ok {
		f.fail(name)
		return ""
	}
	return v.Value
}

func (f *fields) binary(name string) []byte {
	if !f.has(name) {
		return nil
	}
	v, ok := f.item[name].(*types.AttributeValueMemberB)
	if !ok {
		f.fail(name)
		return nil
	}
	return v.Value
}

func (f *fields) number(name string) int64 {
	if !f.has(name) {
		return 0
	}
	v, ok := f.item[name].(*types.AttributeValueMemberN)
	if !ok {
		f.fail(name)
		return 0
	}
	n, err := strconv.ParseInt(v.Value, 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) { // a sum that DynamoDB took beyond an int64 reads as the largest one
		f.fail(name)
	}
	return n
}

func (f *fields) moment(name string) time.Time {
	s := f.text(name)
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		f.fail(name)
	}
	return t.UTC()
}

// list reads a list of texts; an empty one reads as nil.
func list[T ~string](f *fields, name string) []T {
	if !f.has(name) {
		return nil
	}
	v, ok := f.item[name].(*types.AttributeValueMemberL)
	if !ok {
		f.fail(name)
		return nil
	}
	var values []T
	for _, member := range v.Value {
		s, ok := member.(*types.AttributeValueMemberS)
		if !ok {
			f.fail(name)
			return nil
		}
		values = append(values, T(s.Value))
	}
	return values
}
