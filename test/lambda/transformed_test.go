package lambda_test

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/parqueue/parqueue/internal/testtool"
)

// transformed is the template as CloudFormation gets it: with the roles and all
// else that SAM's transform adds.
// Parameters are "Name=value". A transform takes seconds, so it is made once.
func transformed(t *testing.T, parameters ...string) object {
	t.Helper()
	key := strings.Join(parameters, " ")
	output, done := transforms.Load(key)
	if !done {
		output = transform(t, parameters)
		transforms.Store(key, output)
	}
	var template object
	if err := json.Unmarshal(output.([]byte), &template); err != nil {
		t.Fatal(err)
	}
	return template
}

// transforms are the outputs of transform.py that there are, by their parameters.
var transforms sync.Map

func transform(t *testing.T, parameters []string) []byte {
	t.Helper()
	arguments := append([]string{filepath.Join(testtool.Root(), "test", "template", "transform.py")}, parameters...)
	command := exec.CommandContext(t.Context(), testtool.Python(t, "sam"), arguments...)
	output, err := command.Output()
	if err != nil {
		t.Fatalf("transform.py: %v", err)
	}
	return output
}

// The policies of AWS's that roles have, and why each has them. They allow what
// they allow on every resource.
var managedPolicies = map[string]string{
	"arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole":                        "SAM: to write logs, and nothing else",
	"arn:aws:iam::aws:policy/AWSXrayWriteOnlyAccess":                                          "SAM: to write traces, which have no resources to name",
	"arn:aws:iam::aws:policy/service-role/AWSCodeDeployRoleForLambda":                         "SAM: to move traffic between versions, for a gradual deployment",
	"arn:${AWS::Partition}:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs": "API Gateway writes the access log; it takes this policy only",
	"arn:aws:iam::aws:policy/service-role/AWSLambdaSQSQueueExecutionRole":                     "SAM: to take messages from the queue; it allows nothing but taking messages and writing logs",
}

// gradual has the transform make everything that it can make.
const gradual = "GradualDeployment=true"

// Statements that name no one resource or action, and why.
var wideStatements = map[string]string{
	"BucketPolicy":      "it denies everything that comes unencrypted",
	"InboxBucketPolicy": "it denies everything that comes unencrypted",
}

// No policy that CloudFormation gets allows every action of a service, or an action
// on every resource.
func TestNoWildcards(t *testing.T) {
	statements, managed := 0, map[string]bool{}
	for name, resource := range at(transformed(t, gradual), "Resources").(object) {
		walk(resource, func(member string, value any) {
			switch member {
			case "ManagedPolicyArns":
				for _, arn := range list(value) {
					text, _ := arn.(string)
					if text == "" {
						text, _ = at(arn, "Fn::Sub").(string)
					}
					managed[text] = true
					if managedPolicies[text] == "" {
						t.Errorf("%s has the policy %v", name, arn)
					}
				}
			case "Statement":
				for _, statement := range list(value) {
					statements++
					if wide(statement) && (wideStatements[name] == "" || at(statement, "Effect") != "Deny") {
						t.Errorf("%s has the statement %v", name, statement)
					}
				}
			}
		})
	}
	if statements < len(functions(t)) {
		t.Errorf("there are %d statements only: is this the template?", statements)
	}
	for arn := range managedPolicies {
		if !managed[arn] {
			t.Errorf("no role has the policy %s any more", arn)
		}
	}
}

// wide reports whether a statement's actions, resources or principals are not all
// named, or are all but some.
func wide(statement any) bool {
	for _, member := range []string{"NotAction", "NotResource", "NotPrincipal"} {
		if at(statement, member) != nil {
			return true
		}
	}
	isWide := false
	walk(at(statement, "Action"), func(_ string, value any) {
		text, _ := value.(string)
		isWide = isWide || strings.Contains(text, "*")
	})
	for _, member := range []string{"Resource", "Principal"} {
		walk(at(statement, member), func(_ string, value any) {
			text, _ := value.(string)
			isWide = isWide || text == "*" || strings.HasPrefix(text, "arn:") && strings.Contains(text, ":*")
		})
	}
	return isWide
}

// walk calls visit with everything in a value and with the value itself, each with
// the name that it has, or that the list that it is in has.
func walk(value any, visit func(member string, value any)) { walkNamed("", value, visit) }

func walkNamed(name string, value any, visit func(member string, value any)) {
	visit(name, value)
	switch v := value.(type) {
	case object:
		for member, inner := range v {
			walkNamed(member, inner, visit)
		}
	case []any:
		for _, inner := range v {
			walkNamed(name, inner, visit)
		}
	}
}

// wide has to see what it is there for.
func TestWide(t *testing.T) {
	for text, want := range map[string]bool{
		`{"Action": "s3:*", "Resource": "arn:aws:s3:::one"}`:                                  true,
		`{"Action": ["s3:GetObject", "s3:Put*"], "Resource": {"Fn::GetAtt": ["B", "Arn"]}}`:   true,
		`{"Action": "*", "Resource": {"Fn::GetAtt": ["B", "Arn"]}}`:                           true,
		`{"Action": "s3:GetObject", "Resource": "*"}`:                                         true,
		`{"Action": "s3:GetObject", "Resource": ["arn:aws:s3:::*"]}`:                          true,
		`{"Action": "s3:GetObject", "Principal": {"AWS": "*"}, "Resource": "arn:aws:s3:::b"}`: true,
		`{"NotAction": "s3:GetObject", "Resource": "arn:aws:s3:::b"}`:                         true,
		`{"Action": "s3:GetObject", "Resource": {"Fn::Sub": "${Bucket.Arn}/files/*"}}`:        false,
		`{"Action": ["s3:GetObject"], "Resource": [{"Fn::GetAtt": ["B", "Arn"]}]}`:            false,
	} {
		var statement object
		if err := json.Unmarshal([]byte(text), &statement); err != nil {
			t.Fatal(err)
		}
		if wide(statement) != want {
			t.Errorf("%s: %v", text, !want)
		}
	}
}

// SAM makes resources too. These are all kinds that it made, none of which costs
// anything while it is idle; TestNothingIsBilledWhileIdle has the template's own.
func TestTheTransformAddsNothingBilledWhileIdle(t *testing.T) {
	free := append(slices.Clone(freeTypes),
		"AWS::ApiGateway::RestApi", "AWS::ApiGateway::Deployment", "AWS::ApiGateway::Stage", "AWS::Lambda::Function",
		"AWS::Lambda::Permission", "AWS::Lambda::EventInvokeConfig", "AWS::Lambda::EventSourceMapping",
		// Versions take room in the 75 GB that a region has for functions.
		"AWS::Lambda::Version", "AWS::Lambda::Alias", "AWS::CodeDeploy::Application", "AWS::CodeDeploy::DeploymentGroup")
	for name, resource := range at(transformed(t, gradual), "Resources").(object) {
		kind, _ := at(resource, "Type").(string)
		if !slices.Contains(free, kind) && !slices.Contains(alarmTypes, kind) {
			t.Errorf("%s is a %s", name, kind)
		}
	}
}
