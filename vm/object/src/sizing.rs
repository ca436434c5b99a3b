//! What a host may settle of an opened object before its programs are linked: sizes of maps, values of `.kconfig`.
//!
//! An object may leave such sizes at 0 (libbpf: `bpf_map__set_max_entries` and its kin). Whether a map can be made is asked when a program
//! that uses it is linked, so that a map which nobody sized matters to its users only.

use std::sync::Arc;

use backstop_model::MapSpec;

use crate::error::ObjectError;
use crate::externs::KconfigPlace;
use crate::map_def::entries;
use crate::object::Object;

/// The name under which programs ask for the kernel's version.
const KERNEL_VERSION: &str = "LINUX_KERNEL_VERSION";
/// Linux 6.18.0, the kernel whose rules hold here, coded as `KERNEL_VERSION(6, 18, 0)`.
const LINUX_6_18: u64 = 6 << 16 | 18 << 8;
/// What libbpf finds out of the kernel and offers beside its configuration; so it is on Linux 6.18 on x86-64.
const FEATURES: [&str; 2] = ["LINUX_HAS_BPF_COOKIE", "LINUX_HAS_SYSCALL_WRAPPER"];

impl Object {
    /// Sets the capacity of a map, rounded up for ring buffers as libbpf does. 0 stands for the number of CPUs where the kind is
    /// `perf_event_array`.
    ///
    /// # Errors
    /// If there is no such map, or it holds global data.
    pub fn set_max_entries(&mut self, map: &str, max_entries: u32) -> Result<(), ObjectError> {
        let spec = self.sizable(map)?;
        spec.max_entries = entries(spec.kind, max_entries);
        Ok(())
    }

    /// Sets the size in bytes of a map's values. A value type of another size is dropped.
    ///
    /// # Errors
    /// As [`Object::set_max_entries`].
    pub fn set_value_size(&mut self, map: &str, bytes: u32) -> Result<(), ObjectError> {
        let spec = self.sizable(map)?;
        spec.value_size = bytes;
        let size = spec.btf.as_ref().zip(spec.value_type).and_then(|(btf, ty)| btf.size_of(ty));
        if size != Some(u64::from(bytes)) {
            spec.value_type = None;
        }
        Ok(())
    }

    fn sizable(&mut self, name: &str) -> Result<&mut MapSpec, ObjectError> {
        let object = self.name.clone();
        let Some(index) = self.map_index(name) else {
            let known: Vec<&str> = self.maps.iter().map(|m| m.spec.name.as_str()).take(8).collect();
            return Err(ObjectError::NoMap { object, name: name.to_owned(), known: known.join(", ") });
        };
        match self.maps.get_mut(index) {
            Some(map) if matches!(map.section.as_str(), ".maps" | "maps") => Ok(Arc::make_mut(&mut map.spec)),
            _ => Err(ObjectError::DataMap { object, name: name.to_owned() }),
        }
    }

    /// Gives a `.kconfig` variable its value, for programs that are linked from now on; they can't change it. `LINUX_KERNEL_VERSION` is
    /// 6.18.0, `LINUX_HAS_BPF_COOKIE` and `LINUX_HAS_SYSCALL_WRAPPER` are 1 if nothing else is said, other variables are undefined, or 0 if they are weak.
    ///
    /// # Errors
    /// If there is no such variable, it is no number, or the value does not fit in it (signed or unsigned).
    pub fn set_kconfig(&mut self, name: &str, value: u64) -> Result<(), ObjectError> {
        let object = self.name.clone();
        let place = self.kconfig.as_ref().and_then(|(map, places)| Some((*map, *places.get(name)?)));
        let Some((map, KconfigPlace { offset, size })) = place else {
            return Err(ObjectError::NoKconfig { object, name: name.to_owned() });
        };
        let bits = size.saturating_mul(8);
        let signed = value as i64;
        let fits = match bits {
            8 | 16 | 32 => value >> bits == 0 || signed >> (bits - 1) == -1,
            _ => bits == 64,
        };
        if !fits {
            return Err(ObjectError::KconfigValue { object, name: name.to_owned(), size, value });
        }
        if let Some(map) = self.maps.get_mut(map) {
            let spec = Arc::make_mut(&mut map.spec);
            let mut content = spec.initial.as_deref().map(<[u8]>::to_vec).unwrap_or_default();
            let bytes = value.to_le_bytes();
            let from = offset as usize;
            if let Some(to) = content.get_mut(from..).and_then(|c| c.get_mut(..size as usize))
                && let Some(bytes) = bytes.get(..to.len())
            {
                to.copy_from_slice(bytes);
            }
            spec.initial = Some(content.into());
        }
        self.kconfig_given.insert(name.to_owned());
        Ok(())
    }

    /// What is known without being told.
    pub(crate) fn default_kconfig(&mut self) {
        // An object that does not ask has no such variable, and one of an odd size stays undefined.
        let _ = self.set_kconfig(KERNEL_VERSION, LINUX_6_18);
        for feature in FEATURES {
            let _ = self.set_kconfig(feature, 1);
        }
    }
}
