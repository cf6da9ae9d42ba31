import { useTranslation } from "react-i18next"

import { PageHead } from "../../parts/PageHead"

export default function Audit() {
  const { t } = useTranslation("audit")
  return <PageHead title={t("title")} about={t("about")} />
}
