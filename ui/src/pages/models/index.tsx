import { useTranslation } from "react-i18next"

import { PageHead } from "../../parts/PageHead"

export default function Models() {
  const { t } = useTranslation("models")
  return <PageHead title={t("title")} about={t("about")} />
}
