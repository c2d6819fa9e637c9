# carlake by Terraform: the published templates, one CloudFormation stack each, in their order.
#
#   make deploy-template     # writes build/deploy/1-foundation.template.json ...
#   terraform apply -target=aws_cloudformation_stack.storage -target=aws_cloudformation_stack.catalog ...
#   aws s3 cp --recursive FOLDER_OF_PACKAGE s3://BUCKET_OF_CODE/packages/carlake-VERSION-HASH/
#   terraform apply ...
#
# The package (function.zip, the wheel, spark_job.py, environment.tar.gz) has to lie in the bucket of code before the stack `compute` is made:
# so the first apply ends before it.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "templates" {
  type        = string
  description = "Folder with the published templates"
}

variable "name" {
  type        = string
  description = "PREFIX-ENVIRONMENT, as the templates were made with"
  default     = "carlake-prod"
}

variable "code_version" {
  type        = string
  description = "Version of carlake of the package"
}

variable "code_hash" {
  type        = string
  description = "Hash of the package, as in its name"
}

resource "aws_cloudformation_stack" "foundation" {
  name          = "${var.name}-foundation"
  template_body = file("${var.templates}/1-foundation.template.json")
  capabilities  = ["CAPABILITY_NAMED_IAM"]
}

locals {
  # Whoever applies this needs no more than to pass the role; CloudFormation makes the rest with it.
  deploy_role = aws_cloudformation_stack.foundation.outputs["RoleToDeploy"]
}

resource "aws_cloudformation_stack" "intake" {
  name          = "${var.name}-intake"
  template_body = file("${var.templates}/2-intake.template.json")
  iam_role_arn  = local.deploy_role
}

resource "aws_cloudformation_stack" "storage" {
  name          = "${var.name}-storage"
  template_body = file("${var.templates}/3-storage.template.json")
  iam_role_arn  = local.deploy_role
  depends_on    = [aws_cloudformation_stack.intake]
}

resource "aws_cloudformation_stack" "catalog" {
  # With the parameter existing_database there is none, and no template of one.
  count         = fileexists("${var.templates}/4-catalog.template.json") ? 1 : 0
  name          = "${var.name}-catalog"
  template_body = file("${var.templates}/4-catalog.template.json")
  iam_role_arn  = local.deploy_role
  depends_on    = [aws_cloudformation_stack.storage]
}

resource "aws_cloudformation_stack" "compute" {
  name          = "${var.name}-compute"
  template_body = file("${var.templates}/5-compute.template.json")
  iam_role_arn  = local.deploy_role
  capabilities  = ["CAPABILITY_NAMED_IAM"]
  # Both: where there is no catalog, what it stands for is storage.
  depends_on = [aws_cloudformation_stack.storage, aws_cloudformation_stack.catalog]
  parameters = {
    CodeVersion = var.code_version
    CodeHash    = var.code_hash
  }
}

resource "aws_cloudformation_stack" "query" {
  name          = "${var.name}-query"
  template_body = file("${var.templates}/6-query.template.json")
  iam_role_arn  = local.deploy_role
  capabilities  = ["CAPABILITY_NAMED_IAM"]
  depends_on    = [aws_cloudformation_stack.compute]
}

resource "aws_cloudformation_stack" "operations" {
  name          = "${var.name}-operations"
  template_body = file("${var.templates}/7-operations.template.json")
  iam_role_arn  = local.deploy_role
  capabilities  = ["CAPABILITY_NAMED_IAM"]
  depends_on    = [aws_cloudformation_stack.query]
}
