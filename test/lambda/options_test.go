package lambda_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/api"
)

const allowOrigin = "Access-Control-Allow-Origin"

// ifCrossOrigin is a value that is there only if an origin is named, in the words of
// the template (!Ref) or of CloudFormation (Ref, Fn::If).
func ifCrossOrigin(function string, value any) object {
	reference, condition := "!Ref", "!If"
	if !strings.HasPrefix(function, "!") {
		reference, condition = "Ref", "Fn::If"
	}
	return object{condition: []any{"CrossOrigin", object{function: value}, object{reference: "AWS::NoValue"}}}
}

// A browser's question whether a page may call is answered by API Gateway on every
// path, without a key and without a function, and as text: a mock whose bodies are
// taken for bytes is answered 500.
func TestPreflights(t *testing.T) {
	paths, _ := at(transformed(t, gradual), "Resources", "Api", "Properties", "Body", "paths").(object)
	known := map[string]bool{}
	for _, endpoint := range api.Endpoints() {
		for _, path := range endpoint.Paths() {
			known[path] = true
			options := at(paths[path], "options")
			integration := at(options, "x-amazon-apigateway-integration")
			answer := at(integration, "responses", "default")
			if security, ok := at(options, "security").([]any); !ok || len(security) > 0 {
				t.Errorf("%s asks for a key: %v", path, security)
			}
			if at(integration, "type") != "mock" || at(integration, "contentHandling") != "CONVERT_TO_TEXT" || at(answer, "contentHandling") != "CONVERT_TO_TEXT" {
				t.Errorf("%s is answered by %v", path, integration)
			}
			headers, _ := at(answer, "responseParameters", "Fn::If").([]any)
			if len(headers) != 3 || headers[0] != "CrossOrigin" || !reflect.DeepEqual(headers[2], object{"Ref": "AWS::NoValue"}) {
				t.Fatalf("%s allows %v", path, answer)
			}
			for name := range headers[1].(object) {
				header := strings.TrimPrefix(name, "method.response.header.")
				if at(options, "responses", "204", "headers", header) == nil {
					t.Errorf("%s does not declare %s, without which API Gateway refuses the deployment", path, header)
				}
			}
			for method := range paths[path].(object) {
				if method != "options" && !reflect.DeepEqual(at(paths[path], method, "security"), []any{object{"Key": []any{}}}) {
					t.Errorf("%s %s needs no key", method, path)
				}
			}
		}
	}
	for path := range paths {
		if !known[path] {
			t.Errorf("%s is no endpoint's", path)
		}
	}
}

// Nobody's page may call, and no name and no gradual deployment is made, unless they
// are asked for.
func TestOptionsAreOff(t *testing.T) {
	parameters := at(template(t), "Parameters")
	for _, name := range []string{"CorsOrigin", "DomainName", "CertificateArn", "HostedZoneId", "AlarmEmail"} {
		if got := at(parameters, name, "Default"); got != "" {
			t.Errorf("%s is %v", name, got)
		}
	}
	resources := at(template(t), "Resources")
	for name, condition := range map[string]string{"ApiDomain": "Named", "ApiMapping": "Named", "ApiRecord": "Entered"} {
		if got := at(resources, name, "Condition"); got != condition {
			t.Errorf("%s is there if %v", name, got)
		}
	}
	rules, _ := at(resources, "Bucket", "Properties", "CorsConfiguration", "!If").([]any)
	if len(rules) != 3 || rules[0] != "CrossOrigin" || !reflect.DeepEqual(at(rules[1], "CorsRules").([]any)[0].(object)["AllowedOrigins"], []any{object{"!Ref": "CorsOrigin"}}) {
		t.Errorf("the bucket's CORS is %v", rules)
	}
	if got := at(template(t), "Globals", "Function", "Environment", "Variables", "CORS_ORIGIN"); !reflect.DeepEqual(got, object{"!Ref": "CorsOrigin"}) {
		t.Errorf("the functions are told %v", got)
	}
}

// An update goes to a tenth of the requests first, if that is asked for, and comes
// back when an alarm is raised.
func TestGradualDeployment(t *testing.T) {
	for parameter, isGradual := range map[string]bool{"GradualDeployment=false": false, gradual: true} {
		groups, aliases := 0, 0
		for name, resource := range at(transformed(t, parameter), "Resources").(object) {
			switch at(resource, "Type") {
			case "AWS::Lambda::Alias":
				aliases++
				if (at(resource, "UpdatePolicy", "CodeDeployLambdaAliasUpdate") != nil) != isGradual {
					t.Errorf("%s: %s is updated as %v", parameter, name, at(resource, "UpdatePolicy"))
				}
			case "AWS::CodeDeploy::DeploymentGroup":
				groups++
				alarms := list(at(resource, "Properties", "AlarmConfiguration", "Alarms"))
				if want := (object{"Name": object{"Fn::If": []any{"Alarmed", object{"Ref": "ApiErrorsAlarm"}, object{"Ref": "AWS::NoValue"}}}}); len(alarms) != 1 || !reflect.DeepEqual(alarms[0], want) {
					t.Errorf("%s goes back at %v", name, alarms)
				}
			}
		}
		if want := len(functions(t)); aliases != want || isGradual && groups != want || !isGradual && groups != 0 {
			t.Errorf("%s: %d aliases and %d deployment groups, for %d functions", parameter, aliases, groups, want)
		}
	}
}
