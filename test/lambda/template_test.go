package lambda_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/parqueue/parqueue/internal/api"
	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/testtool"
)

const (
	functionType   = "AWS::Serverless::Function"
	authorizerName = "authorizer"
	sweepName      = "sweep"
	ingestionName  = "ingest-object"
)

// object is a mapping of the template. An intrinsic function is a mapping of
// its tag to its argument: !Ref Table is {"!Ref": "Table"}.
type object = map[string]any

// template reads the template as plain values.
func template(t testing.TB) object {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(testtool.Root(), "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	return plain(t, document.Content[0]).(object)
}

func plain(t testing.TB, node *yaml.Node) any {
	t.Helper()
	if tag := node.Tag; strings.HasPrefix(tag, "!") && !strings.HasPrefix(tag, "!!") {
		untagged := *node
		untagged.Tag = ""
		return object{tag: plain(t, &untagged)}
	}
	switch node.Kind {
	case yaml.AliasNode:
		return plain(t, node.Alias)
	case yaml.MappingNode:
		m := object{}
		for i := 0; i < len(node.Content); i += 2 {
			m[node.Content[i].Value] = plain(t, node.Content[i+1])
		}
		return m
	case yaml.SequenceNode:
		list := []any{}
		for _, item := range node.Content {
			list = append(list, plain(t, item))
		}
		return list
	}
	var value any
	if err := node.Decode(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// at follows a path of names, and gives nil where it ends too soon.
func at(value any, path ...string) any {
	for _, name := range path {
		m, _ := value.(object)
		value = m[name]
	}
	return value
}

// functions are the properties of each function, by the name of its folder.
func functions(t testing.TB) map[string]object {
	t.Helper()
	found := map[string]object{}
	for name, resource := range at(template(t), "Resources").(object) {
		if at(resource, "Type") == functionType {
			found[kebab(name)] = at(resource, "Properties").(object)
		}
	}
	return found
}

var wordStart = regexp.MustCompile(`([a-z])([A-Z])`)

// kebab turns a logical id into the folder's name, as the Makefile does.
func kebab(logicalID string) string {
	return strings.ToLower(wordStart.ReplaceAllString(logicalID, "$1-$2"))
}

func logicalID(folder string) string {
	var id string
	for word := range strings.SplitSeq(folder, "-") {
		id += strings.ToUpper(word[:1]) + word[1:]
	}
	return id
}

func TestEveryFunctionHasItsFolder(t *testing.T) {
	entries, err := os.ReadDir(filepath.Join(testtool.Root(), "functions"))
	if err != nil {
		t.Fatal(err)
	}
	var folders, declared, endpoints []string
	for _, e := range entries {
		folders = append(folders, e.Name())
	}
	for name := range functions(t) {
		declared = append(declared, name)
	}
	endpoints = append(endpoints, authorizerName, sweepName, ingestionName)
	for _, e := range api.Endpoints() {
		endpoints = append(endpoints, e.Name)
	}
	slices.Sort(declared)
	slices.Sort(endpoints)
	if !slices.Equal(folders, declared) || !slices.Equal(declared, endpoints) {
		t.Errorf("folders   %v\ntemplate  %v\nendpoints %v", folders, declared, endpoints)
	}
}

func TestRoutes(t *testing.T) {
	declared := functions(t)
	for _, endpoint := range api.Endpoints() {
		t.Run(endpoint.Name, func(t *testing.T) {
			var want []string
			for _, path := range endpoint.Paths() {
				for _, method := range endpoint.Methods {
					want = append(want, method+" "+path)
				}
			}
			slices.Sort(want)
			if got := routes(t, declared[endpoint.Name]); !slices.Equal(got, want) {
				t.Errorf("the template has %v\nthe API has      %v", got, want)
			}
		})
	}
}

func routes(t *testing.T, function object) []string {
	t.Helper()
	var found []string
	events, _ := function["Events"].(object)
	for name, event := range events {
		if at(event, "Type") != "Api" || at(event, "Properties", "RestApiId", "!Ref") != "Api" {
			t.Errorf("event %s is not one of the REST API", name)
		}
		method, _ := at(event, "Properties", "Method").(string)
		path, _ := at(event, "Properties", "Path").(string)
		found = append(found, strings.ToUpper(method)+" "+path)
	}
	slices.Sort(found)
	return found
}

// Each function may do what it does, on the table and on the files, and nothing else.
func TestLeastPrivilege(t *testing.T) {
	for name, function := range functions(t) {
		t.Run(name, func(t *testing.T) {
			if function["Role"] != nil {
				t.Error("the function has a role beside its policy")
			}
			reached := map[string]bool{}
			for _, policy := range list(function["Policies"]) {
				if _, inline := policy.(object); !inline {
					t.Errorf("policy %v is not an inline one", policy)
				}
				for _, statement := range list(at(policy, "Statement")) {
					checkStatement(t, name, statement.(object), reached)
				}
			}
			// What a function is told the name of is what it may reach.
			for variable, service := range map[string]string{"TABLE_NAME": "dynamodb", "BUCKET_NAME": "s3", "INBOX_NAME": "inbox", "INBOX_TENANT": "inbox"} {
				if told := at(function, "Environment", "Variables", variable) != nil; told != reached[service] {
					t.Errorf("has %s: %v, may use %s: %v", variable, told, service, reached[service])
				}
			}
		})
	}
}

var oneAction = regexp.MustCompile(`^(dynamodb|s3):[A-Z][A-Za-z]+$`)

// checkStatement checks that a statement allows named actions on what they are
// for, and notes the services. The sweeper alone has a mark in the bucket.
func checkStatement(t *testing.T, name string, statement object, reached map[string]bool) {
	t.Helper()
	for member := range statement {
		if !slices.Contains([]string{"Effect", "Action", "Resource"}, member) {
			t.Errorf("the statement has %s", member)
		}
	}
	filePrefix, _, _ := strings.Cut(dataset.FileKey("tenant", "file-00"), "/")
	resources := map[string]object{
		"dynamodb": {"!GetAtt": "Table.Arn"},
		"s3":       {"!Sub": "${Bucket.Arn}/" + filePrefix + "/*"},
	}
	actions := list(statement["Action"])
	if onBucket(actions) {
		resources["s3"] = object{"!GetAtt": "Bucket.Arn"}
	}
	inbox := object{"!Sub": "${InboxBucket.Arn}/*"}
	if reflect.DeepEqual(actions, []any{listBucket}) {
		inbox = object{"!GetAtt": "InboxBucket.Arn"}
	}
	if reflect.DeepEqual(actions, []any{"s3:GetObject", "s3:PutObject"}) && name == sweepName {
		resources["s3"] = theMark
	}
	ofInbox := reflect.DeepEqual(statement["Resource"], inbox)
	if ofInbox {
		resources["s3"] = inbox
	}
	if len(actions) == 0 || statement["Effect"] != "Allow" {
		t.Errorf("statement %v does not allow a list of actions", statement)
	}
	for _, action := range actions {
		text, _ := action.(string)
		service, _, _ := strings.Cut(text, ":")
		if !oneAction.MatchString(text) || !reflect.DeepEqual(statement["Resource"], resources[service]) {
			t.Errorf("action %v on %v", action, statement["Resource"])
		}
		if ofInbox {
			service = "inbox"
		}
		reached[service] = true
	}
}

// onBucket reports actions that are on the bucket itself.
func onBucket(actions []any) bool {
	return !slices.ContainsFunc(actions, func(action any) bool { return action != listBucket && action != listParts })
}

func list(value any) []any {
	items, _ := value.([]any)
	return items
}

// The sweeper is called by a schedule and by nothing else, has the time that Lambda
// gives, and is not called again in the middle of another call for an error.
func TestSweepIsScheduled(t *testing.T) {
	function := functions(t)[sweepName]
	events, _ := function["Events"].(object)
	if len(events) != 1 || at(events["Schedule"], "Type") != "Schedule" || at(events["Schedule"], "Properties", "Schedule") != "rate(15 minutes)" {
		t.Errorf("events %v", events)
	}
	if function["Timeout"] != 900 || at(function, "EventInvokeConfig", "MaximumRetryAttempts") != 0 {
		t.Errorf("timeout %v, invocations %v", function["Timeout"], function["EventInvokeConfig"])
	}
}

// What API Gateway answers by itself looks like every other error.
func TestGatewayResponses(t *testing.T) {
	codes := map[string]string{
		"UNAUTHORIZED": "unauthorized", "ACCESS_DENIED": "forbidden", "REQUEST_TOO_LARGE": "request_too_large",
		"UNSUPPORTED_MEDIA_TYPE": "unsupported_media_type", "MISSING_AUTHENTICATION_TOKEN": "route_not_found",
		"RESOURCE_NOT_FOUND": "route_not_found", "THROTTLED": "unavailable", "QUOTA_EXCEEDED": "unavailable",
		"INTEGRATION_TIMEOUT": "unavailable", "INTEGRATION_FAILURE": "unavailable",
		"DEFAULT_4XX": "invalid_request", "DEFAULT_5XX": "internal",
	}
	statuses := map[string]int{"unauthorized": 401, "forbidden": 403, "request_too_large": 413, "unsupported_media_type": 415, "route_not_found": 404}
	declared, _ := at(template(t), "Resources", "Api", "Properties", "GatewayResponses").(object)
	if len(declared) != len(codes) {
		t.Errorf("%d gateway responses, want %d", len(declared), len(codes))
	}
	for name, code := range codes {
		t.Run(name, func(t *testing.T) {
			text, _ := at(declared[name], "ResponseTemplates", "application/json").(string)
			var body map[string]string
			if err := json.Unmarshal([]byte(text), &body); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			if body["code"] != code || body["error"] == "" || body["message"] != body["error"] || body["hint"] == "" || len(body) != 4 {
				t.Errorf("body %v", body)
			}
			if headers := at(declared[name], "ResponseParameters", "Headers"); !reflect.DeepEqual(headers, object{allowOrigin: ifCrossOrigin("!Sub", "'${CorsOrigin}'")}) {
				t.Errorf("a page of another origin gets the headers %v", headers)
			}
			if strings.Contains(text, "$") {
				t.Errorf("%s would be taken for a template with variables", text)
			}
			status, given := at(declared[name], "StatusCode").(int)
			if want := statuses[code]; want != 0 && status != want || given && (status < 400 || status == 524) {
				t.Errorf("status %d, want %d", status, want)
			}
		})
	}
	if text := at(declared["REQUEST_TOO_LARGE"], "ResponseTemplates", "application/json").(string); !strings.Contains(text, "4.70 MB") || !strings.Contains(text, "create-upload") {
		t.Errorf("%s does not name the limit, or what to call instead", text)
	}
}

// An allow-list: a new kind of resource needs somebody to check what it costs
// while nobody uses it.
var freeTypes = []string{
	functionType, "AWS::Serverless::Api", "AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::S3::BucketPolicy",
	"AWS::Logs::LogGroup", "AWS::ApiGateway::Account", "AWS::IAM::Role",
	"AWS::Events::Rule", "AWS::SQS::QueuePolicy",
	// A record in a hosted zone that somebody has, and pays for, already.
	"AWS::ApiGateway::DomainName", "AWS::ApiGateway::BasePathMapping", "AWS::Route53::RecordSet",
	// Lambda asks an idle queue some 600,000 times a month, of a million that are free.
	"AWS::SQS::Queue",
}

// What is there only for somebody to be told. A topic costs nothing by itself, and
// an account has freeAlarms for nothing.
var alarmTypes = []string{"AWS::SNS::Topic", "AWS::CloudWatch::Alarm"}

const freeAlarms = 10

func TestNothingIsBilledWhileIdle(t *testing.T) {
	alarms := 0
	for name, resource := range at(template(t), "Resources").(object) {
		kind, _ := at(resource, "Type").(string)
		switch {
		case slices.Contains(freeTypes, kind):
		case slices.Contains(alarmTypes, kind):
			alarms++
			if at(resource, "Condition") != "Alarmed" {
				t.Errorf("%s is there without anybody to tell", name)
			}
		default:
			t.Errorf("%s is a %s", name, kind)
		}
	}
	if email := at(template(t), "Parameters", "AlarmEmail", "Default"); email != "" || alarms > freeAlarms+1 {
		t.Errorf("%d alarms and topics, for %v", alarms, email)
	}
	text, err := os.ReadFile(filepath.Join(testtool.Root(), "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, costly := range []string{"ProvisionedConcurrency", "ProvisionedThroughput", "CacheCluster", "VpcConfig", "SnapStart", "KMSMasterKey", "Intelligent"} {
		if strings.Contains(string(text), costly) {
			t.Errorf("the template has %s", costly)
		}
	}
	if billing := at(template(t), "Resources", "Table", "Properties", "BillingMode"); billing != "PAY_PER_REQUEST" {
		t.Errorf("BillingMode %v", billing)
	}
}

func TestDataIsKeptAndPrivate(t *testing.T) {
	resources := at(template(t), "Resources")
	for path, want := range map[string]any{
		"Table DeletionPolicy":                                                                         "Retain",
		"Table UpdateReplacePolicy":                                                                    "Retain",
		"Table Properties DeletionProtectionEnabled":                                                   true,
		"Table Properties SSESpecification SSEEnabled":                                                 true,
		"Table Properties PointInTimeRecoverySpecification PointInTimeRecoveryEnabled":                 true,
		"Table Properties TimeToLiveSpecification Enabled":                                             true,
		"Bucket DeletionPolicy":                                                                        "Retain",
		"Bucket UpdateReplacePolicy":                                                                   "Retain",
		"Bucket Properties VersioningConfiguration Status":                                             "Enabled",
		"InboxBucket DeletionPolicy":                                                                   "Retain",
		"InboxBucket UpdateReplacePolicy":                                                              "Retain",
		"InboxBucket Properties PublicAccessBlockConfiguration BlockPublicAcls":                        true,
		"InboxBucket Properties PublicAccessBlockConfiguration BlockPublicPolicy":                      true,
		"InboxBucket Properties PublicAccessBlockConfiguration IgnorePublicAcls":                       true,
		"InboxBucket Properties PublicAccessBlockConfiguration RestrictPublicBuckets":                  true,
		"InboxBucket Properties NotificationConfiguration EventBridgeConfiguration EventBridgeEnabled": true,
		"Bucket Properties PublicAccessBlockConfiguration BlockPublicAcls":                             true,
		"Bucket Properties PublicAccessBlockConfiguration BlockPublicPolicy":                           true,
		"Bucket Properties PublicAccessBlockConfiguration IgnorePublicAcls":                            true,
		"Bucket Properties PublicAccessBlockConfiguration RestrictPublicBuckets":                       true,
		"Api Properties EndpointConfiguration Type":                                                    "REGIONAL",
		"Api Properties Auth Authorizers Key FunctionPayloadType":                                      "REQUEST",
		"Api Properties Auth Authorizers " + defaultAuthorizer(resources) + " FunctionArn !GetAtt":     "Authorizer.Arn",
	} {
		if got := at(resources, strings.Fields(path)...); got != want {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}
	if types := list(at(resources, "Api", "Properties", "BinaryMediaTypes")); !slices.Equal(types, []any{"*~1*"}) {
		t.Errorf("BinaryMediaTypes %v", types)
	}
}

func defaultAuthorizer(resources any) string {
	name, _ := at(resources, "Api", "Properties", "Auth", "DefaultAuthorizer").(string)
	return name
}

// sam local can set a variable only where the template declares it.
func TestEndpointVariablesAreDeclared(t *testing.T) {
	variables, _ := at(template(t), "Globals", "Function", "Environment", "Variables").(object)
	for _, name := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_S3"} {
		if value, ok := variables[name]; !ok || value != "" {
			t.Errorf("%s is %v, declared %v", name, value, ok)
		}
	}
}
