//! Storage classes: what a provider charges for keeping an object, and for reading it.
//!
//! A repository is read at all times, by every run that looks for what is there already. So a
//! class must give its objects back at once: those that have to be asked for hours ahead are
//! refused here, and not by the first restore.

use crate::url::{Place, Provider};
use crate::{StoreSettings, StoreUrl};

/// What an object is for, as far as it matters where a store keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Most of all bytes; read by restores and checks.
    Data,
    /// Little, and read by every run.
    Metadata,
}

/// The classes that objects are written to; where there is none, the bucket decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StorageClasses {
    /// Of objects for [`Purpose::Data`].
    pub data: Option<String>,
    /// Of objects for [`Purpose::Metadata`].
    pub metadata: Option<String>,
}

impl StorageClasses {
    pub(crate) fn of(&self, purpose: Purpose) -> Option<&str> {
        match purpose {
            Purpose::Data => self.data.as_deref(),
            Purpose::Metadata => self.metadata.as_deref(),
        }
    }
}

/// The classes of one provider.
struct Offer {
    whose: &'static str,
    /// Those whose objects can be read at once.
    online: &'static [&'static str],
    /// Those whose objects must be brought back first.
    offline: &'static [&'static str],
    /// What comes closest to these, and can be read at once.
    instead: &'static str,
}

const S3: Offer = Offer {
    whose: "S3",
    online: &[
        "STANDARD",
        "STANDARD_IA",
        "ONEZONE_IA",
        "INTELLIGENT_TIERING",
        "GLACIER_IR",
        "REDUCED_REDUNDANCY",
        "EXPRESS_ONEZONE",
    ],
    offline: &["GLACIER", "DEEP_ARCHIVE"],
    instead: "GLACIER_IR",
};

const AZURE: Offer = Offer {
    whose: "Azure",
    online: &["Hot", "Cool", "Cold"],
    offline: &["Archive"],
    instead: "Cold",
};

const GOOGLE: Offer = Offer {
    whose: "Google",
    online: &["STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"],
    offline: &[],
    instead: "ARCHIVE",
};

impl StoreUrl {
    /// The class as the store calls it, if objects there can have it and be read at once. An error
    /// says what is wrong and what there is instead. Stores that speak S3 and are not Amazon's, as
    /// their endpoint tells, may have further classes.
    pub fn storage_class(&self, name: &str, settings: &StoreSettings) -> Result<String, String> {
        let Place::Cloud(cloud) = self.place() else {
            return Err("only stores in a cloud have storage classes".to_owned());
        };
        let offer = match cloud.provider {
            Provider::S3 => S3,
            Provider::Azure => AZURE,
            Provider::Google => GOOGLE,
        };
        let find = |among: &[&'static str]| {
            among.iter().find(|class| class.eq_ignore_ascii_case(name)).copied()
        };
        if let Some(class) = find(offer.offline) {
            return Err(format!(
                "objects of the class {class} must be brought back for hours before they can be \
                 read, and Nightjar reads at all times; use {}",
                offer.instead
            ));
        }
        match find(offer.online) {
            Some(class) => Ok(class.to_owned()),
            None if cloud.has_own_classes(settings) && is_header_text(name) => Ok(name.to_owned()),
            None => Err(format!(
                "{} has no storage class {name:?}; use one of {}",
                offer.whose,
                offer.online.join(", ")
            )),
        }
    }
}

fn is_header_text(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn class(url: &str, endpoint: Option<&str>, name: &str) -> Result<String, String> {
        let endpoint = endpoint.map(str::to_owned);
        let settings = StoreSettings { endpoint, ..StoreSettings::default() };
        StoreUrl::parse(url, Path::new("/")).unwrap().storage_class(name, &settings)
    }

    #[test]
    fn each_provider_has_classes_of_its_own() {
        for (url, name, known_as) in [
            ("s3://b", "GLACIER_IR", "GLACIER_IR"),
            ("s3://b", "standard_ia", "STANDARD_IA"),
            ("az://c", "cool", "Cool"),
            ("gs://b", "ARCHIVE", "ARCHIVE"),
        ] {
            assert_eq!(class(url, None, name), Ok(known_as.to_owned()), "{url} {name}");
        }
        for (url, name) in [("s3://b", "Cool"), ("az://c", "NEARLINE"), ("gs://b", "GLACIER_IR")] {
            let refusal = class(url, None, name).unwrap_err();
            assert!(refusal.contains("has no storage class"), "{url} {name}: {refusal}");
        }
        assert!(class("/srv/b", None, "STANDARD").is_err());
        assert!(class("memory://b", None, "STANDARD").is_err());
    }

    #[test]
    fn what_cannot_be_read_at_once_is_refused_everywhere() {
        let minio = Some("https://minio.example:9000");
        for (url, endpoint, name) in [
            ("s3://b", None, "GLACIER"),
            ("s3://b", None, "DEEP_ARCHIVE"),
            ("s3://b", minio, "glacier"),
            ("az://c", None, "Archive"),
        ] {
            let refusal = class(url, endpoint, name).unwrap_err();
            assert!(refusal.contains("brought back"), "{url} {name}: {refusal}");
        }
    }

    #[test]
    fn stores_that_only_speak_s3_may_have_further_classes() {
        let ceph = Some("https://ceph.example");
        assert_eq!(class("s3://b", ceph, "cold-hdd"), Ok("cold-hdd".to_owned()));
        let amazon = Some("https://s3.eu-central-1.amazonaws.com/");
        for (endpoint, name) in [(ceph, "two words"), (ceph, ""), (amazon, "cold-hdd")] {
            assert!(class("s3://b", endpoint, name).is_err(), "{name}");
        }
        assert!(class("az://c", ceph, "cold-hdd").is_err());
    }
}
