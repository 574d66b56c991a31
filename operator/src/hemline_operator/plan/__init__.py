"""What to do for a classifier, decided without I/O: ``plan(observed, platform)``."""

from hemline_operator.plan._actions import Action, Announce, Apply, Create, Delete, Patch, Plan
from hemline_operator.plan._children import desired
from hemline_operator.plan._compare import contains
from hemline_operator.plan._names import (
    CLASSIFIER_LABEL,
    COMPONENT_LABEL,
    MANAGER,
    Key,
    Owner,
)
from hemline_operator.plan._observed import (
    AskJob,
    AskPod,
    AskReport,
    AskSnapshot,
    AskSummary,
    Fact,
    JobAnswer,
    Observed,
    PodAnswer,
    Question,
    ReportAnswer,
    Summary,
    Unknown,
    VersionCount,
)
from hemline_operator.plan._optional import optional
from hemline_operator.plan._plan import plan
from hemline_operator.plan._platform import Capabilities, Images, Platform
from hemline_operator.plan._pod_state import ready_pods
from hemline_operator.plan._pods import GRPC_PORT, HTTP_PORT

__all__ = [
    "CLASSIFIER_LABEL",
    "COMPONENT_LABEL",
    "GRPC_PORT",
    "HTTP_PORT",
    "MANAGER",
    "Action",
    "Announce",
    "Apply",
    "AskJob",
    "AskPod",
    "AskReport",
    "AskSnapshot",
    "AskSummary",
    "Capabilities",
    "Create",
    "Delete",
    "Fact",
    "Images",
    "JobAnswer",
    "Key",
    "Observed",
    "Owner",
    "Patch",
    "Plan",
    "Platform",
    "PodAnswer",
    "Question",
    "ReportAnswer",
    "Summary",
    "Unknown",
    "VersionCount",
    "contains",
    "desired",
    "optional",
    "plan",
    "ready_pods",
]
