import { useTranslation } from "react-i18next"

import { PageHead } from "../../parts/PageHead"

export default function Requests() {
  const { t } = useTranslation("requests")
  return <PageHead title={t("title")} about={t("about")} />
}
