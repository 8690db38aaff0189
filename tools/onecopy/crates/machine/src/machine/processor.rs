// SPDX-License-Identifier: GPL-2.0

//! What the processors of a guest are.

use super::Machine;
use crate::error::Error;
use crate::qmp::commands;
use crate::qmp::commands::CpuidWord;
use crate::qmp::QmpError;
use crate::Result;

impl Machine {
    /// Returns what the first processor offers to the guest: the registers of CPUID with bits of
    /// features, in the order of leaf, subleaf and register, without those that are 0.
    ///
    /// `7.0.EBX=219c07ab` is EBX of leaf 7, subleaf 0; all numbers are hexadecimal. What a model offers
    /// depends on the accelerator and on the host.
    ///
    /// # Errors
    ///
    /// When QEMU does not answer.
    pub fn cpu_features(&mut self) -> Result<Vec<String>> {
        let processors = self.execute(&commands::QueryCpusFast {})?;
        let Some(first) = processors.into_iter().next() else {
            return Ok(Vec::new());
        };
        let value = self.execute(&commands::QomGet {
            path: first.qom_path,
            property: "feature-words".to_owned(),
        })?;
        let message = value.to_string();
        let words = serde_json::from_value(value).map_err(|source| Error::Qmp {
            cause: QmpError::Malformed { message, source },
            report: Box::new(self.report()),
        })?;
        Ok(spell(words))
    }
}

fn spell(mut words: Vec<CpuidWord>) -> Vec<String> {
    words.retain(|word| word.features != 0);
    words.sort_unstable_by(|one, other| place(one).cmp(&place(other)));
    let spell = |word: &CpuidWord| {
        let (leaf, subleaf, register) = place(word);
        let subleaf = subleaf.map_or(String::new(), |subleaf| format!(".{subleaf:x}"));
        format!("{leaf:x}{subleaf}.{register}={:08x}", word.features)
    };
    words.iter().map(spell).collect()
}

fn place(word: &CpuidWord) -> (u32, Option<u32>, &str) {
    let register = word.cpuid_register.as_str();
    (word.cpuid_input_eax, word.cpuid_input_ecx, register)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_spelt_in_order() {
        let words = serde_json::json!([
            {"cpuid-register": "EDX", "cpuid-input-eax": 0x8000_0001_u32, "features": 0x2000_0000},
            {"cpuid-register": "EBX", "cpuid-input-ecx": 0, "cpuid-input-eax": 7, "features": 0xab},
            {"cpuid-register": "EAX", "cpuid-input-ecx": 1, "cpuid-input-eax": 13, "features": 0},
            {"cpuid-register": "EDX", "cpuid-input-eax": 1, "features": 1},
            {"cpuid-register": "ECX", "cpuid-input-eax": 1, "features": 0xf000_0000_u32},
        ]);
        assert_eq!(
            spell(serde_json::from_value(words).unwrap()),
            [
                "1.ECX=f0000000",
                "1.EDX=00000001",
                "7.0.EBX=000000ab",
                "80000001.EDX=20000000"
            ]
        );
    }
}
