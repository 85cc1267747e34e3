"""Prints template.yaml as CloudFormation gets it.

CloudFormation runs SAM's transform itself when a stack is deployed. This is the
same transform (the SAM CLI brings it) without an account: what it makes of a
function, such as its role, is checked too and not only what template.yaml says.
"""

import json
import logging
import os
import pathlib

from samcli.yamlhelper import yaml_parse
from samtranslator.translator.transform import transform

TEMPLATE = pathlib.Path(__file__).parents[2] / "template.yaml"


class NoManagedPolicies:
    """Names of managed policies are not looked up: the template has none."""

    def load(self):
        return {}


def main():
    logging.disable(logging.WARNING)
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    template = yaml_parse(TEMPLATE.read_text())
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            # `sam deploy` puts the place that it uploaded the function to here.
            resource["Properties"]["CodeUri"] = "s3://functions/function.zip"
    print(json.dumps(transform(template, {}, NoManagedPolicies()), indent=1))


main()
