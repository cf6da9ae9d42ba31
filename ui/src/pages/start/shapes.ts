import type { paths } from "../../api/schema"

export type Onboarding =
  paths["/admin/api/onboarding"]["get"]["responses"]["200"]["content"]["application/json"]
export type State = Onboarding["first_request"]["state"]
export type FirstRequest = Onboarding["first_request"]

/** A key made on this page: kept in memory only, and gone with the page. */
export interface Fresh {
  id: string
  project: string
  secret: string
}
