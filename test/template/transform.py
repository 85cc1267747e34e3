"""Prints template.yaml as CloudFormation gets it.

CloudFormation runs SAM's transform itself when a stack is deployed. This is the
same transform (the SAM CLI brings it) without an account: what it makes of a
function, such as its role, is checked too and not only what template.yaml says.
Parameters other than their defaults are given as Name=value.
"""

import json
import logging
import os
import pathlib
import sys

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
    # What an alias stands for is there once for each of them, as `sam deploy` sends it.
    template = json.loads(json.dumps(yaml_parse(TEMPLATE.read_text())))
    parameters = dict(argument.split("=", 1) for argument in sys.argv[1:])
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            # `sam deploy` puts the place that it uploaded the function to here.
            resource["Properties"]["CodeUri"] = "s3://functions/function.zip"
    print(json.dumps(transform(template, parameters, NoManagedPolicies()), indent=1))


main()
