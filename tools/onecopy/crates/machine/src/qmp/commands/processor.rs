// SPDX-License-Identifier: GPL-2.0

//! Commands about processors.

use serde::Deserialize;
use serde::Serialize;

use super::Command;

/// Lists the processors.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct QueryCpusFast {}
command!(QueryCpusFast, "query-cpus-fast", Vec<CpuInfo>);

/// A processor that is there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CpuInfo {
    /// The path of its object.
    #[serde(rename = "qom-path")]
    pub qom_path: String,
}

/// A register that the instruction CPUID returns, with bits that stand for features. A list of them is
/// the property `feature-words` of a processor.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CpuidWord {
    /// The leaf.
    pub cpuid_input_eax: u32,
    /// The subleaf, where there are some.
    pub cpuid_input_ecx: Option<u32>,
    /// The register, for example `EDX`.
    pub cpuid_register: String,
    /// Its bits; 1 for what the guest can use.
    pub features: u32,
}
