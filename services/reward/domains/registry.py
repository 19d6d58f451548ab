"""Every domain that this service judges, by name. Add yours here."""

from collections.abc import Mapping

from services.reward.domains.base import DomainPlugin
from services.reward.domains.code.plugin import CodeDomain

DOMAINS: Mapping[str, DomainPlugin] = {domain.about.name: domain for domain in (CodeDomain(),)}
